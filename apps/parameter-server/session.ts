import { answerHello, CLIENT_HELLO_BYTES } from './agreement.ts';
import type { Cipher } from './cipher.ts';
import {
  CHECKSUM_BYTES,
  FrameReader,
  FrameWriter,
  ITEM_BYTES,
  Kind,
  ProtocolError,
  REPLY_BYTES,
  Status,
} from './protocol.ts';
import { type Table, TableFullError } from './table.ts';

/** How a connection gets its key: agreed with the client, or given (a recorded trace is played under its own). */
export type Opening =
  | { readonly cipher: Cipher }
  | { readonly verification: Uint8Array; readonly createCipher: (key: Uint8Array<ArrayBuffer>) => Cipher };

/**
 * The server's side of one connection, whatever carries its bytes:
 *
 *     const count = receive(session.input.bytes, session.input.end, session.input.room());
 *     session.input.received(count);
 *     do {
 *       const blocked = session.process();
 *       … send session.output.bytes from session.output.begin to session.output.end …
 *       session.output.sent(count);
 *     } while (blocked);
 *
 * Requests are answered in order. Nothing is allocated for a request.
 */
export class Session {
  readonly input: FrameReader;
  readonly output: FrameWriter;
  /** Whether the client asked the server to stop. Nothing that comes behind is looked at. */
  stopped = false;
  /** Updates answered so far. */
  requests = 0;
  /** Time that checksums took: it grows with the model, and is no part of what an update takes. */
  checksumMilliseconds = 0;
  readonly #table: Table;
  readonly #opening: Opening;
  #cipher: Cipher | undefined;

  /** The buffers hold opened requests: private memory, `CONNECTION_BUFFER_BYTES` each. */
  constructor(
    table: Table,
    opening: Opening,
    input: Uint8Array<ArrayBuffer>,
    output: Uint8Array<ArrayBuffer>,
  ) {
    this.#table = table;
    this.#opening = opening;
    this.#cipher = 'cipher' in opening ? opening.cipher : undefined;
    this.input = new FrameReader(input, 'client');
    this.output = new FrameWriter(output);
  }

  /**
   * Answers what came. Returns whether it stopped because the output is full: send, then call again. A
   * `ProtocolError` means that the connection is to be closed; what was applied before stays applied.
   */
  process(): boolean {
    const cipher = this.#cipher ?? this.#agree();
    if (cipher === undefined) return false;
    while (!this.stopped) {
      if (!this.output.fits(REPLY_BYTES)) return true;
      if (!this.input.next(cipher)) return false;
      this.#answer(cipher);
    }
    return false;
  }

  #agree(): Cipher | undefined {
    const opening = this.#opening;
    if ('cipher' in opening) return opening.cipher;
    const offset = this.input.take(CLIENT_HELLO_BYTES);
    if (offset < 0) return undefined;
    const clientHello = this.input.bytes.subarray(offset, offset + CLIENT_HELLO_BYTES);
    const { hello, key } = answerHello(clientHello, opening.verification);
    this.output.put(hello);
    this.#cipher = opening.createCipher(key);
    return this.#cipher;
  }

  #answer(cipher: Cipher): void {
    switch (this.input.kind) {
      case Kind.update:
        this.#update(cipher);
        return;
      case Kind.checksum:
        this.#answerChecksum(cipher);
        return;
      case Kind.stop:
        this.stopped = true;
        return;
      default:
        throw new ProtocolError('FRAME_INVALID', `a server does not answer kind ${this.input.kind}`);
    }
  }

  #update(cipher: Cipher): void {
    const count = this.input.length / ITEM_BYTES;
    const applied = this.#apply(count);
    const { view, body } = this.output;
    view.setUint32(body, applied === count ? Status.applied : Status.full, true);
    view.setUint32(body + 4, applied, true);
    this.output.seal(cipher, Kind.reply, REPLY_BYTES);
    this.requests += 1;
  }

  /** Returns how many items were applied: all, or those in front of the one that found the table full. */
  #apply(count: number): number {
    const { view, body } = this.input;
    let applied = 0;
    try {
      for (; applied < count; applied += 1) {
        const item = body + applied * ITEM_BYTES;
        this.#table.add(
          view.getUint32(item, true),
          view.getUint32(item + 4, true),
          view.getUint32(item + 8, true),
          view.getUint32(item + 12, true),
        );
      }
    } catch (error) {
      if (!(error instanceof TableFullError)) throw error;
    }
    return applied;
  }

  #answerChecksum(cipher: Cipher): void {
    const began = performance.now();
    const checksum = this.#table.checksum();
    this.checksumMilliseconds += performance.now() - began;
    const { view, body } = this.output;
    view.setUint32(body, checksum.low, true);
    view.setUint32(body + 4, checksum.high, true);
    this.output.seal(cipher, Kind.checksumReply, CHECKSUM_BYTES);
  }
}
