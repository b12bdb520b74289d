import { connect, type Socket } from 'node:net';
import type { RecordableHistogram } from 'node:perf_hooks';
import type { Account } from './account.ts';
import { ClientAgreement, SERVER_HELLO_BYTES } from './agreement.ts';
import type { Words } from './checksum.ts';
import { NodeCipher } from './cipher.ts';
import { Replies } from './replies.ts';
import { sealRequests, type Work } from './requests.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A server that says nothing for so long is taken for dead. */
const SILENCE_MILLISECONDS = 30_000;
const RECEIVE_BYTES = 65_536;
const NANOSECONDS_PER_MILLISECOND = 1e6;

/** The connection broke before the work was done. */
export class ConnectionError extends Error {
  readonly code = 'CONNECTION_BROKEN';

  override get name(): string {
    return 'ConnectionError';
  }
}

/** What a phase of a connection waits for: takes bytes until it returns something. */
type Receiver<Result> = (bytes: Uint8Array) => Result | undefined;

/** A socket of which one phase after the other takes the bytes. A failure ends the phase that runs, or the next. */
class Channel {
  readonly #socket: Socket;
  readonly #address: Address;
  #receive: (bytes: Uint8Array) => void = () => this.#fail(new ConnectionError('the server spoke unasked'));
  #reject: ((error: unknown) => void) | undefined;
  #failure: unknown;

  constructor(address: Address) {
    this.#address = address;
    const callback = (count: number, buffer: Uint8Array) => this.#deliver(buffer.subarray(0, count));
    const onread = { buffer: new Uint8Array(RECEIVE_BYTES), callback };
    this.#socket = connect({ ...address, noDelay: true, onread });
    this.#socket.setTimeout(SILENCE_MILLISECONDS, () => this.#break('the server fell silent'));
    this.#socket.on('error', (cause) => this.#break('the connection failed', cause));
    this.#socket.on('close', () => this.#break('the server closed the connection'));
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  phase<Result>(receive: Receiver<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#reject = reject;
      this.#receive = (bytes) => {
        const result = receive(bytes);
        if (result !== undefined) resolve(result);
      };
    });
  }

  /** Sends what is left, and closes. */
  close(): Promise<void> {
    this.#reject = undefined;
    this.#failure = new ConnectionError('this side closed the connection');
    if (this.#socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.end(() => this.#socket.destroy());
    });
  }

  #deliver(bytes: Uint8Array): boolean {
    try {
      this.#receive(bytes);
    } catch (error) {
      this.#fail(error);
    }
    return true;
  }

  #break(what: string, cause?: NodeJS.ErrnoException): void {
    const { host, port } = this.#address;
    const detail = cause === undefined ? '' : `: ${cause.code ?? cause.message}`;
    this.#fail(new ConnectionError(`${what} (${host}:${port})${detail}`, { cause }));
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#reject?.(this.#failure);
    this.#socket.destroy();
  }
}

/**
 * The client's side of one connection: agree on a key, prepare the work, play it with a bounded number of
 * requests on their way, ask for the checksum.
 */
export class Connection {
  readonly #channel: Channel;
  readonly #cipher: NodeCipher;

  private constructor(channel: Channel, cipher: NodeCipher) {
    this.#channel = channel;
    this.#cipher = cipher;
  }

  static async open(address: Address, verification: Uint8Array): Promise<Connection> {
    const channel = new Channel(address);
    const agreement = new ClientAgreement();
    channel.send(agreement.hello);
    const hello = new Uint8Array(SERVER_HELLO_BYTES);
    let length = 0;
    await channel.phase((bytes) => {
      if (length + bytes.length > hello.length) throw new ConnectionError('the server spoke unasked');
      hello.set(bytes, length);
      length += bytes.length;
      return length === hello.length ? true : undefined;
    });
    try {
      return new Connection(channel, new NodeCipher(agreement.finish(hello, verification)));
    } catch (error) {
      await channel.close();
      throw error;
    }
  }

  /** Seals the work of this connection, once. */
  prepare(work: Work, stream: number, account: Account): PreparedConnection {
    const { bytes, offsets } = sealRequests(this.#cipher, work, stream, account);
    return new PreparedConnection(this.#channel, bytes, offsets, new Replies(this.#cipher, work.items));
  }
}

/** A connection with its requests sealed in memory. */
export class PreparedConnection {
  readonly #channel: Channel;
  readonly #bytes: Uint8Array;
  readonly #offsets: Float64Array;
  readonly #requests: number;
  readonly #replies: Replies;
  readonly #sentAt: Float64Array<ArrayBuffer>;
  #sent = 0;

  constructor(channel: Channel, bytes: Uint8Array, offsets: Float64Array, replies: Replies) {
    this.#channel = channel;
    this.#bytes = bytes;
    this.#offsets = offsets;
    this.#requests = offsets.length - 3;
    this.#replies = replies;
    this.#sentAt = new Float64Array(this.#requests);
  }

  /** Plays all updates, at most `window` unanswered at a time, and records nanoseconds from sending to answer. */
  async play(window: number, latency: RecordableHistogram): Promise<void> {
    const done = this.#channel.phase((bytes) => {
      const before = this.#replies.count;
      this.#replies.receive(bytes);
      this.#record(before, latency);
      if (this.#replies.count === this.#requests) return true;
      this.#sendUpTo(this.#replies.count + window);
      return undefined;
    });
    this.#sendUpTo(window);
    await done;
  }

  async checksum(): Promise<Words> {
    const reply = this.#channel.phase((bytes) => {
      this.#replies.receive(bytes);
      return this.#replies.checksum;
    });
    this.#sendFrames(this.#requests, this.#requests + 1);
    return await reply;
  }

  /** Closes the connection; with `stop`, asks the server to stop first. */
  async close(stop: boolean): Promise<void> {
    if (stop) this.#sendFrames(this.#requests + 1, this.#requests + 2);
    await this.#channel.close();
  }

  /** Requests lie one behind the other, so what may go goes in one write. */
  #sendUpTo(limit: number): void {
    const end = Math.min(limit, this.#requests);
    if (end <= this.#sent) return;
    this.#sentAt.fill(performance.now(), this.#sent, end);
    this.#sendFrames(this.#sent, end);
    this.#sent = end;
  }

  #sendFrames(from: number, to: number): void {
    this.#channel.send(this.#bytes.subarray(this.#offsets[from], this.#offsets[to]));
  }

  #record(from: number, latency: RecordableHistogram): void {
    const now = performance.now();
    for (let request = from; request < this.#replies.count; request += 1) {
      const nanoseconds = Math.round((now - this.#sentAt[request]!) * NANOSECONDS_PER_MILLISECOND);
      latency.record(Math.max(1, nanoseconds));
    }
  }
}
