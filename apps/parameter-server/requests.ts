import { type Account, keyHigh } from './account.ts';
import type { Cipher } from './cipher.ts';
import { FrameWriter, frameBytes, ITEM_BYTES, Kind, MAXIMUM_ITEMS } from './protocol.ts';
import { Random } from './random.ts';

/** What a client asks of the server. */
export interface Work {
  readonly requests: number;
  /** Items that each request updates: 1 to `MAXIMUM_ITEMS`. */
  readonly items: number;
  /** A 32-bit integer: the same seed makes the same updates. */
  readonly seed: number;
}

/** Requests of one connection, sealed in advance so that sealing costs nothing while they are timed. */
export interface SealedRequests {
  /** All frames, one behind the other: the updates, then one checksum request, then one stop. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each frame begins, and at last where the bytes end: `requests + 3` numbers. */
  readonly offsets: Float64Array<ArrayBuffer>;
}

/** Sealed requests of one connection at most: they all lie in memory. */
export const MAXIMUM_SEALED_BYTES: number = 1024 ** 3;

/** A workload that cannot be made. */
export class WorkError extends Error {
  readonly code = 'WORK_INVALID';

  override get name(): string {
    return 'WorkError';
  }
}

/**
 * Seals the updates of `work` and enters them into the account. Connections that share a seed take a `stream`
 * each, so that their updates differ.
 */
export function sealRequests(cipher: Cipher, work: Work, stream: number, account: Account): SealedRequests {
  checkWork(work);
  const length = work.items * ITEM_BYTES;
  const writer = new FrameWriter(new Uint8Array(work.requests * frameBytes(length) + 2 * frameBytes(0)));
  const offsets = new Float64Array(work.requests + 3);
  const random = new Random(work.seed, stream);
  for (let request = 0; request < work.requests; request += 1) {
    offsets[request] = writer.end;
    writeItems(writer, work.items, random, account);
    writer.seal(cipher, Kind.update, length);
  }
  offsets[work.requests] = writer.end;
  writer.seal(cipher, Kind.checksum, 0);
  offsets[work.requests + 1] = writer.end;
  writer.seal(cipher, Kind.stop, 0);
  offsets[work.requests + 2] = writer.end;
  return { bytes: writer.bytes, offsets };
}

function writeItems(writer: FrameWriter, items: number, random: Random, account: Account): void {
  const { view, body } = writer;
  for (let item = 0; item < items; item += 1) {
    const offset = body + item * ITEM_BYTES;
    const key = random.below(account.keys);
    const low = random.next();
    const high = random.next();
    view.setUint32(offset, key, true);
    view.setUint32(offset + 4, keyHigh(key), true);
    view.setUint32(offset + 8, low, true);
    view.setUint32(offset + 12, high, true);
    account.add(key, low, high);
  }
}

/** Fails with a `WorkError` that says what is wrong with `work`. */
export function checkWork({ requests, items, seed }: Work): void {
  if (!Number.isSafeInteger(requests) || requests < 1) throw new WorkError('requests must be 1 or more');
  if (!Number.isInteger(items) || items < 1 || items > MAXIMUM_ITEMS) {
    throw new WorkError(`items of a request must be 1 to ${MAXIMUM_ITEMS}`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new WorkError('seed must be a 32-bit integer');
  }
  const most = Math.floor(MAXIMUM_SEALED_BYTES / frameBytes(items * ITEM_BYTES));
  if (requests > most) {
    throw new WorkError(`requests of ${items} items must be ${most} or fewer on one connection`);
  }
}
