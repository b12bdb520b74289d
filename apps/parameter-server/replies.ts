import type { Words } from './checksum.ts';
import { formatWords } from './checksum.ts';
import type { Cipher } from './cipher.ts';
import { CONNECTION_BUFFER_BYTES, FrameReader, Kind, Status } from './protocol.ts';

export type OracleErrorCode = 'UPDATE_REFUSED' | 'UPDATES_UNANSWERED' | 'CHECKSUM_DIFFERS';

/** The server did not do what it was asked, as the client's own account shows. */
export class OracleError extends Error {
  readonly code: OracleErrorCode;

  constructor(code: OracleErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  override get name(): string {
    return 'OracleError';
  }
}

/** Opens and judges what the server answers on one connection. */
export class Replies {
  /** Updates that were answered. */
  count = 0;
  /** What the server answered to the checksum request. */
  checksum: Words | undefined;
  readonly #reader: FrameReader;
  readonly #cipher: Cipher;
  readonly #items: number;

  /** Every update of the connection has `items` items. */
  constructor(cipher: Cipher, items: number) {
    this.#reader = new FrameReader(new Uint8Array(CONNECTION_BUFFER_BYTES), 'server');
    this.#cipher = cipher;
    this.#items = items;
  }

  /** Takes bytes, cut anywhere. */
  receive(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length; ) {
      const count = Math.min(this.#reader.room(), bytes.length - offset);
      this.#reader.bytes.set(bytes.subarray(offset, offset + count), this.#reader.end);
      this.#reader.received(count);
      offset += count;
      while (this.#reader.next(this.#cipher)) this.#judge();
    }
  }

  #judge(): void {
    const { view, body } = this.#reader;
    const first = view.getUint32(body, true);
    const second = view.getUint32(body + 4, true);
    if (this.#reader.kind === Kind.checksumReply) {
      this.checksum = { low: first, high: second };
      return;
    }
    if (first !== Status.applied || second !== this.#items) {
      const reason = first === Status.full ? 'its table is full: give it a larger model' : `status ${first}`;
      throw new OracleError(
        'UPDATE_REFUSED',
        `the server applied ${second} of ${this.#items} items: ${reason}`,
      );
    }
    this.count += 1;
  }
}

/** Fails unless the model of the server is what it must be after every update was applied exactly once. */
export function checkModel(reported: Words, expected: Words): void {
  if (reported.low === expected.low && reported.high === expected.high) return;
  throw new OracleError(
    'CHECKSUM_DIFFERS',
    `updates were lost or repeated: the server has ${formatWords(reported)}, it must be ${formatWords(expected)}`,
  );
}
