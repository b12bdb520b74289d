import {
  DATAGRAM_ADDRESS_BYTES_MAX,
  DATAGRAM_ADDRESS_OFFSET,
  DATAGRAM_BYTES_MAX,
  DATAGRAM_HEADER_BYTES,
  DatagramFamily,
} from '../boundary/datagram.ts';
import { CallKind } from '../boundary/kinds.ts';
import { BindFlag, SocketOptionCode } from '../boundary/net.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { SocketAddress } from '../linux/socket-address.ts';
import {
  describeEndpoint,
  type Endpoint,
  encodeEndpoint,
  requireConnect,
  requireListen,
} from './endpoint.ts';
import { runtime } from './runtime.ts';
import { addressIn, SocketHandle } from './socket.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  requirePrivate,
  type Transfer,
} from './transfer.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** What came: `length` bytes are in the buffer, of a datagram of `fullLength`, the rest of which is lost. */
export interface Received {
  readonly length: number;
  readonly fullLength: number;
  readonly truncated: boolean;
  /** Whom the host says it is from: not to be trusted with a decision. */
  readonly from: SocketAddress;
}

export interface BindOptions {
  /** Shares the port with others that say so; the kernel deals the datagrams out among them. */
  readonly reusePort?: boolean;
  /** Keeps an IPv6 socket from IPv4. */
  readonly ipv6Only?: boolean;
}

/** Sends and receives messages that arrive whole or not at all, over UDP or a Unix socket. */
export class DatagramSocket extends SocketHandle {
  /** Sends one datagram to an address that the image was granted. */
  sendTo(bytes: Bytes, endpoint: Endpoint, options?: CallOptions): void {
    const call = this.#sending(bytes, endpoint);
    requireWhole(call, callSync(call, options));
  }

  async sendToAsync(bytes: Bytes, endpoint: Endpoint, options?: AsyncCallOptions): Promise<void> {
    const call = this.#sending(bytes, endpoint);
    requireWhole(call, await callAsync(call, options));
  }

  /** Sends one datagram to the peer that the socket is connected to. */
  send(bytes: Bytes, options?: CallOptions): void {
    const call = this.#sending(bytes);
    requireWhole(call, callSync(call, options));
  }

  async sendAsync(bytes: Bytes, options?: AsyncCallOptions): Promise<void> {
    const call = this.#sending(bytes);
    requireWhole(call, await callAsync(call, options));
  }

  #sending(bytes: Bytes, endpoint?: Endpoint): Transfer {
    requirePrivate(bytes);
    if (bytes.length > DATAGRAM_BYTES_MAX) {
      throw new InvalidArgumentError(
        `a datagram is at most ${DATAGRAM_BYTES_MAX} bytes long, not ${bytes.length}`,
      );
    }
    const view = new Uint8Array(DATAGRAM_HEADER_BYTES + bytes.length);
    view.set(bytes, DATAGRAM_HEADER_BYTES);
    const call = { ...this.#call(CallKind.sendTo), view, length: view.length, direction: Direction.out };
    if (endpoint === undefined) return call;
    requireConnect(endpoint, 'udp');
    const address = encodeEndpoint(endpoint);
    new DataView(view.buffer).setInt32(0, address.length, true);
    view.set(address.view.subarray(0, address.length), DATAGRAM_ADDRESS_OFFSET);
    return { ...call, detail: describeEndpoint(endpoint) };
  }

  /** Receives one datagram; what does not fit `buffer` is lost. */
  receiveFrom(buffer: Bytes, options?: CallOptions): Received {
    const call = this.#receiving(buffer);
    return received(call.view, callSync(call, options), buffer);
  }

  async receiveFromAsync(buffer: Bytes, options?: AsyncCallOptions): Promise<Received> {
    const call = this.#receiving(buffer);
    return received(call.view, await callAsync(call, options), buffer);
  }

  #receiving(buffer: Bytes): Transfer & { view: Bytes } {
    requirePrivate(buffer);
    const view = new Uint8Array(DATAGRAM_HEADER_BYTES + Math.min(buffer.length, DATAGRAM_BYTES_MAX));
    const length = view.length;
    return { ...this.#call(CallKind.receiveFrom), view, length, direction: Direction.in };
  }

  /** Receives from this address alone from here on, and sends to it when no other is given. */
  connect(endpoint: Endpoint, options?: CallOptions): void {
    callSync(this.#connecting(endpoint), options);
  }

  async connectAsync(endpoint: Endpoint, options?: AsyncCallOptions): Promise<void> {
    await callAsync(this.#connecting(endpoint), options);
  }

  #connecting(endpoint: Endpoint): Transfer {
    requireConnect(endpoint, 'udp');
    const detail = describeEndpoint(endpoint);
    return {
      ...this.#call(CallKind.connectDatagram),
      ...encodeEndpoint(endpoint),
      direction: Direction.out,
      detail,
    };
  }

  #call(kind: number): Transfer {
    return { kind, handle: this.handle };
  }

  /** Lets datagrams go to a broadcast address. */
  setBroadcast(on = true): void {
    this.setOption(SocketOptionCode.broadcast, on ? 1 : 0);
  }
}

/** A datagram goes whole or not at all. */
function requireWhole({ length }: Transfer, result: number): void {
  if (result !== length) runtime().calls.violate(`the host sent ${result} bytes of a datagram of ${length}`);
}

/** Reads what a receive of this result left in `view`: the header must fit the bytes that came with it. */
function received(view: Bytes, result: number, buffer: Bytes): Received {
  const { calls } = runtime();
  const header = new DataView(view.buffer);
  const addressLength = header.getInt32(0, true);
  const fullLength = header.getInt32(4, true);
  const length = result - DATAGRAM_HEADER_BYTES;
  const room = view.length - DATAGRAM_HEADER_BYTES;
  if (length < 0 || length !== Math.min(fullLength, room))
    calls.violate(`the host gave ${result} bytes for a datagram of ${fullLength}`);
  if (addressLength < 0 || addressLength > DATAGRAM_ADDRESS_BYTES_MAX)
    calls.violate(`the host gave an address of ${addressLength} bytes`);
  buffer.set(view.subarray(DATAGRAM_HEADER_BYTES, result));
  const from = addressIn(view.subarray(DATAGRAM_ADDRESS_OFFSET), addressLength);
  return { length, fullLength, truncated: fullLength > length, from };
}

/** A socket that receives at an address that the image was granted. */
export function bindDatagram(endpoint: Endpoint, options?: BindOptions & CallOptions): DatagramSocket {
  return new DatagramSocket(callSync(binding(endpoint, options), options));
}

export async function bindDatagramAsync(
  endpoint: Endpoint,
  options?: BindOptions & AsyncCallOptions,
): Promise<DatagramSocket> {
  return new DatagramSocket(await callAsync(binding(endpoint, options), options));
}

function binding(endpoint: Endpoint, options: BindOptions | undefined): Transfer {
  requireListen(endpoint, 'udp');
  return {
    kind: CallKind.openDatagram,
    handle: 0,
    ...encodeEndpoint(endpoint),
    direction: Direction.out,
    a1: bindFlags(options),
    detail: describeEndpoint(endpoint),
  };
}

export function bindFlags(options: BindOptions | undefined): number {
  const shared = options?.reusePort === true ? BindFlag.reusePort : 0;
  return shared | (options?.ipv6Only === true ? BindFlag.ipv6Only : 0);
}

/** A socket without an address of its own: the kernel gives it one when it first sends. */
export function openDatagram(family: keyof typeof DatagramFamily, options?: CallOptions): DatagramSocket {
  return new DatagramSocket(callSync(opening(family), options));
}

export async function openDatagramAsync(
  family: keyof typeof DatagramFamily,
  options?: AsyncCallOptions,
): Promise<DatagramSocket> {
  return new DatagramSocket(await callAsync(opening(family), options));
}

function opening(family: keyof typeof DatagramFamily): Transfer {
  if (!Object.hasOwn(DatagramFamily, family)) {
    throw new InvalidArgumentError(`a family is 'IPv4', 'IPv6' or 'unix', not ${JSON.stringify(family)}`);
  }
  return { kind: CallKind.openDatagram, handle: 0, a0: DatagramFamily[family] };
}
