import { isIP } from 'node:net';
import { canonicalHost } from '../boundary/grants.ts';
import { CallKind } from '../boundary/kinds.ts';
import { ShutdownOf, SocketOptionCode } from '../boundary/net.ts';
import { InvalidArgumentError, SystemError } from '../errors.ts';
import { type BindOptions, bindFlags } from './datagram.ts';
import {
  describeEndpoint,
  type Endpoint,
  encodeEndpoint,
  requireConnect,
  requireListen,
} from './endpoint.ts';
import { lookup, lookupAsync } from './names.ts';
import { SocketHandle, wholeNumber } from './socket.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  nextEmpty,
  requirePrivate,
  type Transfer,
} from './transfer.ts';
import { gather, scatter, totalLength } from './vectors.ts';

/**
 * Sockets of the host, used without leaving the enclave. What travels through them is as untrusted as the
 * network itself: encrypt and authenticate in the program.
 *
 * Every call has two forms: the plain one waits on this thread, the one ending in `Async` lets other tasks run.
 * Both throw a {@link SystemError} with the code that Node users know. What sets an option of a socket is over at
 * once and has one form.
 */
export type { Endpoint } from './endpoint.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

/** What one receive takes at most when the caller's buffer is larger: a whole arena block. */
const RECEIVE_BYTES_MAX = 65_536;
/** What an asynchronous receive reserves at first; it grows while the peer fills it. */
const RECEIVE_BYTES_FIRST = 2048;
const SEND_BYTES_MAX = 65_536;
const BACKLOG_MAX = 4096;
const BACKLOG = 511;
/** What the kernel takes for the delays of keep-alive, in seconds, and for its probes. */
const KEEP_ALIVE_SECONDS_MAX = 32_767;
const KEEP_ALIVE_PROBES_MAX = 127;

/** Which half of a connection ends. */
export type Half = keyof typeof ShutdownOf;

/** When a silent peer is asked whether it is still there; what is left out is as the host has it. */
export interface KeepAliveOptions {
  /** Seconds of silence before the first probe. */
  readonly delay?: number;
  /** Seconds between two probes. */
  readonly interval?: number;
  /** Probes without an answer before the peer is taken for gone. */
  readonly probes?: number;
}

export interface ListenOptions extends BindOptions {
  /** How many connections may wait to be accepted. */
  readonly backlog?: number;
}

/** Waits for connections. */
export class Listener extends SocketHandle {
  accept(options?: CallOptions): Connection {
    return new Connection(callSync({ kind: CallKind.accept, handle: this.handle }, options));
  }

  async acceptAsync(options?: AsyncCallOptions): Promise<Connection> {
    return new Connection(await callAsync({ kind: CallKind.accept, handle: this.handle }, options));
  }
}

/** A stream of bytes to and from a peer. */
export class Connection extends SocketHandle {
  #expected = RECEIVE_BYTES_FIRST;

  /** Receives at most `buffer.length` bytes and says how many; 0 is the end of the stream, or of no room. */
  receive(buffer: Bytes, options?: CallOptions): number {
    return callSync(this.#receiving(buffer, Math.min(buffer.length, RECEIVE_BYTES_MAX)), options);
  }

  async receiveAsync(buffer: Bytes, options?: AsyncCallOptions): Promise<number> {
    const room = Math.min(buffer.length, this.#expected);
    const length = await callAsync(this.#receiving(buffer, room), options);
    if (length === this.#expected) this.#expected = Math.min(this.#expected * 8, RECEIVE_BYTES_MAX);
    return length;
  }

  /** Receives what is there into one buffer after the other. */
  receiveInto(buffers: readonly Bytes[], options?: CallOptions): number {
    const whole = new Uint8Array(Math.min(totalLength(buffers), RECEIVE_BYTES_MAX));
    return scatter(whole, this.receive(whole, options), buffers);
  }

  async receiveIntoAsync(buffers: readonly Bytes[], options?: AsyncCallOptions): Promise<number> {
    const whole = new Uint8Array(Math.min(totalLength(buffers), RECEIVE_BYTES_MAX));
    return scatter(whole, await this.receiveAsync(whole, options), buffers);
  }

  #receiving(buffer: Bytes, length: number): Transfer {
    return { kind: CallKind.receive, handle: this.handle, view: buffer, length, direction: Direction.in };
  }

  /** Sends all of `bytes`; waits while the peer takes none. */
  send(bytes: Bytes, options?: CallOptions): void {
    this.#requireSendable(bytes);
    let empty = 0;
    for (let sent = 0; sent < bytes.length; ) {
      const count = callSync(this.#sending(bytes, sent), options);
      empty = nextEmpty(empty, count);
      sent += count;
    }
  }

  async sendAsync(bytes: Bytes, options?: AsyncCallOptions): Promise<void> {
    this.#requireSendable(bytes);
    let empty = 0;
    for (let sent = 0; sent < bytes.length; ) {
      const count = await callAsync(this.#sending(bytes, sent), options);
      empty = nextEmpty(empty, count);
      sent += count;
    }
  }

  /** Nothing is sent without a call, and refused like something. */
  #requireSendable(bytes: Bytes): void {
    requirePrivate(bytes);
    if (bytes.length === 0) void this.handle;
  }

  /** Sends all of one buffer after the other. */
  sendFrom(buffers: readonly Bytes[], options?: CallOptions): void {
    this.send(gather(buffers), options);
  }

  async sendFromAsync(buffers: readonly Bytes[], options?: AsyncCallOptions): Promise<void> {
    await this.sendAsync(gather(buffers), options);
  }

  #sending(bytes: Bytes, offset: number): Transfer {
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

  /**
   * Ends one half of the connection: after `sending` the peer sees the end of the stream, after `receiving` this
   * side does.
   */
  shutdown(half: Half = 'sending', options?: CallOptions): void {
    callSync(this.#ending(half), options);
  }

  async shutdownAsync(half: Half = 'sending', options?: AsyncCallOptions): Promise<void> {
    await callAsync(this.#ending(half), options);
  }

  #ending(half: Half): Transfer {
    if (!Object.hasOwn(ShutdownOf, half)) {
      throw new InvalidArgumentError(`what ends is 'sending', 'receiving' or 'both', not ${half}`);
    }
    return { kind: CallKind.shutdown, handle: this.handle, a0: ShutdownOf[half] };
  }

  /** Sends small messages at once instead of gathering them. */
  setNoDelay(on = true): void {
    this.setOption(SocketOptionCode.noDelay, on ? 1 : 0);
  }

  /** Finds out about peers that are gone without a word. */
  setKeepAlive(on = true, { delay, interval, probes }: KeepAliveOptions = {}): void {
    const options: [number, number | undefined, number, string][] = [
      [SocketOptionCode.keepAliveDelay, delay, KEEP_ALIVE_SECONDS_MAX, 'keep-alive delay'],
      [SocketOptionCode.keepAliveInterval, interval, KEEP_ALIVE_SECONDS_MAX, 'keep-alive interval'],
      [SocketOptionCode.keepAliveCount, probes, KEEP_ALIVE_PROBES_MAX, 'number of probes'],
    ];
    for (const [, value, maximum, what] of options) {
      if (value !== undefined) wholeNumber(value, 1, maximum, what);
    }
    this.setOption(SocketOptionCode.keepAlive, on ? 1 : 0);
    for (const [code, value] of options) if (value !== undefined) this.setOption(code, value);
  }

  /** Lets closing reset the connection: what was not yet sent is lost, and the peer sees an error. */
  setResetOnClose(on = true): void {
    this.setOption(SocketOptionCode.resetOnClose, on ? 1 : 0);
  }
}

/** Listens at an address that the image was granted. */
export function listen(endpoint: Endpoint, options?: ListenOptions & CallOptions): Listener {
  return new Listener(callSync(listening(endpoint, options), options));
}

export async function listenAsync(
  endpoint: Endpoint,
  options?: ListenOptions & AsyncCallOptions,
): Promise<Listener> {
  return new Listener(await callAsync(listening(endpoint, options), options));
}

function listening(endpoint: Endpoint, options: ListenOptions | undefined): Transfer {
  requireListen(endpoint, 'tcp');
  return {
    kind: CallKind.listen,
    handle: 0,
    ...encodeEndpoint(endpoint),
    direction: Direction.out,
    a0: wholeNumber(options?.backlog ?? BACKLOG, 1, BACKLOG_MAX, 'backlog'),
    a1: bindFlags(options),
    detail: describeEndpoint(endpoint),
  };
}

/** A connect to one address, which stands for the name that was granted when there is one. */
function connecting(endpoint: Endpoint, name = ''): Transfer {
  const { view: address, length } = encodeEndpoint(endpoint);
  const view = new Uint8Array(length + name.length);
  view.set(address.subarray(0, length));
  encoder.encodeInto(name, view.subarray(length));
  return {
    kind: CallKind.connect,
    handle: 0,
    view,
    length: view.length,
    direction: Direction.out,
    a0: length,
    detail: describeEndpoint(endpoint),
  };
}

/** The host name of an endpoint that has one. */
function nameIn(endpoint: Endpoint): string | undefined {
  return 'path' in endpoint || isIP(endpoint.host) !== 0 ? undefined : canonicalHost(endpoint.host);
}

/**
 * Connects to an address that the image was granted; late, it fails with ETIMEDOUT. A name is looked up first, and
 * its addresses are tried one after the other, each within the time given.
 */
export function connect(endpoint: Endpoint, options?: CallOptions): Connection {
  requireConnect(endpoint, 'tcp');
  const name = nameIn(endpoint);
  if (name === undefined) return new Connection(callSync(connecting(endpoint), options));
  let failed: unknown;
  for (const { address } of lookup(name, options)) {
    try {
      return new Connection(callSync(connecting({ ...endpoint, host: address } as Endpoint, name), options));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      failed = error;
    }
  }
  throw failed;
}

export async function connectAsync(endpoint: Endpoint, options?: AsyncCallOptions): Promise<Connection> {
  requireConnect(endpoint, 'tcp');
  const name = nameIn(endpoint);
  if (name === undefined) return new Connection(await callAsync(connecting(endpoint), options));
  let failed: unknown;
  for (const { address } of await lookupAsync(name, options)) {
    try {
      const call = connecting({ ...endpoint, host: address } as Endpoint, name);
      return new Connection(await callAsync(call, options));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      failed = error;
    }
  }
  throw failed;
}
