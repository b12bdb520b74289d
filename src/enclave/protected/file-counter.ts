import { createHash } from 'node:crypto';
import { InvalidArgumentError } from '../../errors.ts';
import type { BlockFile } from './block-file.ts';
import { BLOCK_BYTES, MARK_BYTES, readNumber, writeNumber } from './format.ts';
import type { CounterValue, MonotonicCounter } from './freshness.ts';

const MARK = 8;
const CHECK = 24;
const CHECK_BYTES = 8;
const RECORDS = 2;

/**
 * A counter in a file, for development and for tests of programs: it goes on across restarts, and who can write the
 * file can set it back. Its two records are written in turn, so that a crash leaves one of them whole.
 */
export class FileCounter implements MonotonicCounter {
  readonly #file: BlockFile;
  readonly #records = [new Uint8Array(BLOCK_BYTES), new Uint8Array(BLOCK_BYTES)] as const;

  constructor(file: BlockFile) {
    this.#file = file;
  }

  read(): CounterValue | undefined {
    let newest: CounterValue | undefined;
    for (const [index, record] of this.#records.entries()) {
      const value = this.#readRecord(index, record);
      if (value !== undefined && value.count > (newest?.count ?? 0)) newest = value;
    }
    return newest;
  }

  advance({ count, mark }: CounterValue): void {
    const kept = this.read()?.count ?? 0;
    if (!(count > kept)) throw new InvalidArgumentError(`a counter of ${kept} does not go to ${count}`);
    const record = new Uint8Array(BLOCK_BYTES);
    writeNumber(new DataView(record.buffer), 0, count);
    record.set(mark, MARK);
    record.set(checkOf(record), CHECK);
    this.#file.write((count % RECORDS) * BLOCK_BYTES, record);
    this.#file.sync();
  }

  #readRecord(index: number, record: Uint8Array<ArrayBuffer>): CounterValue | undefined {
    record.fill(0, this.#file.read(index * BLOCK_BYTES, record));
    if (!checkOf(record).every((byte, at) => byte === record[CHECK + at])) return undefined;
    const count = readNumber(new DataView(record.buffer), 0);
    return { count, mark: record.slice(MARK, MARK + MARK_BYTES) };
  }
}

/** Tells a record that is whole from one that a crash cut. */
function checkOf(record: Uint8Array<ArrayBuffer>): Uint8Array {
  return createHash('sha256').update(record.subarray(0, CHECK)).digest().subarray(0, CHECK_BYTES);
}
