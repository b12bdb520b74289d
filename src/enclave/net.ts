import { isIPv6 } from 'node:net';
import { constants } from 'node:os';
import { CallKind } from '../boundary/kinds.ts';
import { AddressOf, ShutdownOf, SocketOptionCode } from '../boundary/net.ts';
import { InvalidArgumentError, SgxioError } from '../errors.ts';
import {
  AF_UNIX,
  decodeSocketAddress,
  encodeSocketAddress,
  SOCKET_ADDRESS_BYTES_MAX,
  type SocketAddress,
} from '../linux/socket-address.ts';
import { Open } from './open.ts';
import { runtime } from './runtime.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  failure,
  type Transfer,
} from './transfer.ts';

/**
 * Sockets of the host, used without leaving the enclave. What travels through them is as untrusted as the
 * network itself: encrypt and authenticate in the program.
 *
 * Every call has two forms: the plain one waits on this thread, the one ending in `Async` lets other tasks run.
 * Both throw a {@link SystemError} with the code that Node users know.
 */

/** An internet address and port, or the path of a Unix socket. */
export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string };

const ADDRESS_ROOM = 128;
/** What one receive takes at most when the caller's buffer is larger: a whole arena block. */
const RECEIVE_BYTES_MAX = 65_536;
/** What an asynchronous receive reserves at first; it grows while the peer fills it. */
const RECEIVE_BYTES_FIRST = 2048;
const SEND_BYTES_MAX = 65_536;
/** Sends in a row that may take nothing before the peer, or the host, is taken for broken. */
const EMPTY_SENDS_MAX = 16;

function encodeEndpoint(endpoint: Endpoint): { view: Uint8Array<ArrayBuffer>; length: number } {
  const view = new Uint8Array(ADDRESS_ROOM);
  const length = encodeSocketAddress(socketAddress(endpoint), view);
  return { view, length };
}

function socketAddress(endpoint: Endpoint): SocketAddress {
  if ('path' in endpoint) return { family: 'unix', path: endpoint.path };
  return { family: isIPv6(endpoint.host) ? 'IPv6' : 'IPv4', address: endpoint.host, port: endpoint.port };
}

function describe(endpoint: Endpoint): string {
  return 'path' in endpoint ? endpoint.path : `${endpoint.host}:${endpoint.port}`;
}

/** What listeners and connections share. */
abstract class StreamSocket extends Open {
  protected addressOf(whose: number): SocketAddress {
    const view = new Uint8Array(ADDRESS_ROOM);
    const length = callSync({
      kind: CallKind.address,
      handle: this.handle,
      view,
      length: SOCKET_ADDRESS_BYTES_MAX,
      direction: Direction.in,
      a0: whose,
    });
    const address = decodeSocketAddress(view, length);
    if (address !== undefined) return address;
    // A peer may have bound itself to bytes that are no text; its host is honest all the same.
    if (length > 2 && view[0] === AF_UNIX && view[1] === 0) {
      throw failure(CallKind.address, -constants.errno.EINVAL, 'the path of the socket is no text');
    }
    return runtime().calls.violate('the host gave an address that is none');
  }

  /** Where it is bound. Told by the host: not to be trusted with a decision. */
  localAddress(): SocketAddress {
    return this.addressOf(AddressOf.local);
  }
}

/** Waits for connections. */
export class Listener extends StreamSocket {
  accept(options?: CallOptions): Connection {
    return new Connection(callSync({ kind: CallKind.accept, handle: this.handle }, options));
  }

  async acceptAsync(options?: AsyncCallOptions): Promise<Connection> {
    return new Connection(await callAsync({ kind: CallKind.accept, handle: this.handle }, options));
  }
}

/** A stream of bytes to and from a peer. */
export class Connection extends StreamSocket {
  #expected = RECEIVE_BYTES_FIRST;

  /** Receives at most `buffer.length` bytes and says how many; 0 is the end of the stream. */
  receive(buffer: Uint8Array<ArrayBuffer>, options?: CallOptions): number {
    return callSync(this.#receiving(buffer, Math.min(buffer.length, RECEIVE_BYTES_MAX)), options);
  }

  async receiveAsync(buffer: Uint8Array<ArrayBuffer>, options?: AsyncCallOptions): Promise<number> {
    const room = Math.min(buffer.length, this.#expected);
    const length = await callAsync(this.#receiving(buffer, room), options);
    if (length === this.#expected) this.#expected = Math.min(this.#expected * 8, RECEIVE_BYTES_MAX);
    return length;
  }

  #receiving(buffer: Uint8Array<ArrayBuffer>, length: number): Transfer {
    return { kind: CallKind.receive, handle: this.handle, view: buffer, length, direction: Direction.in };
  }

  /** Sends all of `bytes`. */
  send(bytes: Uint8Array<ArrayBuffer>, options?: CallOptions): void {
    let empty = 0;
    for (let sent = 0; sent < bytes.length; ) {
      const count = callSync(this.#sending(bytes, sent), options);
      empty = nextEmpty(empty, count);
      sent += count;
    }
  }

  async sendAsync(bytes: Uint8Array<ArrayBuffer>, options?: AsyncCallOptions): Promise<void> {
    let empty = 0;
    for (let sent = 0; sent < bytes.length; ) {
      const count = await callAsync(this.#sending(bytes, sent), options);
      empty = nextEmpty(empty, count);
      sent += count;
    }
  }

  #sending(bytes: Uint8Array<ArrayBuffer>, offset: number): Transfer {
    const length = Math.min(bytes.length - offset, SEND_BYTES_MAX);
    return {
      kind: CallKind.send,
      handle: this.handle,
      view: bytes,
      offset,
      length,
      direction: Direction.out,
    };
  }

  /** Says that nothing more will be sent; the peer sees the end of the stream. */
  shutdown(): void {
    callSync({ kind: CallKind.shutdown, handle: this.handle, a0: ShutdownOf.sending });
  }

  /** Sends small messages at once instead of gathering them. */
  setNoDelay(on = true): void {
    callSync({ kind: CallKind.setOption, handle: this.handle, a0: SocketOptionCode.noDelay, a1: on ? 1 : 0 });
  }

  peerAddress(): SocketAddress {
    return this.addressOf(AddressOf.peer);
  }
}

function nextEmpty(empty: number, count: number): number {
  if (count > 0) return 0;
  if (empty >= EMPTY_SENDS_MAX)
    throw new SgxioError('SGXIO_TIMED_OUT', 'the host takes no bytes, again and again');
  return empty + 1;
}

/** Listens at an address that the image was granted. `backlog` connections may wait to be accepted. */
export function listen(endpoint: Endpoint, options: { readonly backlog?: number } = {}): Listener {
  const { view, length } = encodeEndpoint(endpoint);
  return new Listener(
    callSync({
      kind: CallKind.listen,
      handle: 0,
      view,
      length,
      direction: Direction.out,
      a0: backlog(options.backlog),
      detail: describe(endpoint),
    }),
  );
}

function backlog(asked = 511): number {
  if (Number.isInteger(asked) && asked >= 1 && asked <= 4096) return asked;
  throw new InvalidArgumentError('a backlog is a whole number from 1 to 4096');
}

function connecting(endpoint: Endpoint): Transfer {
  const { view, length } = encodeEndpoint(endpoint);
  return {
    kind: CallKind.connect,
    handle: 0,
    view,
    length,
    direction: Direction.out,
    detail: describe(endpoint),
  };
}

/** Connects to an address that the image was granted. */
export function connect(endpoint: Endpoint, options?: CallOptions): Connection {
  return new Connection(callSync(connecting(endpoint), options));
}

export async function connectAsync(endpoint: Endpoint, options?: AsyncCallOptions): Promise<Connection> {
  return new Connection(await callAsync(connecting(endpoint), options));
}
