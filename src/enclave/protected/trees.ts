import { constants } from 'node:os';
import { SystemError } from '../../errors.ts';
import { Word } from './books.ts';
import { TABLE } from './format.ts';

const NONE = -1;

/** Int32 tables with an entry for each file in use. */
const TABLES = 8;

/** Bytes that the tables of so many files take. */
export function treeTableBytes(capacity: number): number {
  return capacity * (TABLES + 1) * 4;
}

/**
 * The files of a mount that have a block in a frame or a user, in tables that all threads share. An entry's number is
 * what frames name their file by; entry 0 is the table of files, for good.
 */
export class Trees {
  readonly capacity: number;
  /** The file's number. */
  readonly numbers: Uint32Array<ArrayBuffer>;
  /** The frame of its record, pinned; -1 for the table of files. */
  readonly recordFrames: Int32Array<ArrayBuffer>;
  /** Blocks of it that are in frames. */
  readonly frames: Int32Array<ArrayBuffer>;
  /** Open files, and operations at work. */
  readonly users: Int32Array<ArrayBuffer>;
  /** Blocks of it that programs have mapped. */
  readonly mapped: Int32Array<ArrayBuffer>;
  /** 1: it has no name any more, and goes when its last user leaves. */
  readonly orphans: Int32Array<ArrayBuffer>;
  /** How many open files share its lock; -1: one has it alone. */
  readonly locks: Int32Array<ArrayBuffer>;
  readonly #next: Int32Array<ArrayBuffer>;
  readonly #buckets: Int32Array<ArrayBuffer>;
  readonly #words: Int32Array<ArrayBuffer>;

  constructor(buffer: ArrayBuffer, at: number, capacity: number, words: Int32Array<ArrayBuffer>) {
    this.capacity = capacity;
    this.#words = words;
    const table = (index: number) => new Int32Array(buffer, at + index * capacity * 4, capacity);
    this.numbers = new Uint32Array(buffer, at, capacity);
    this.recordFrames = table(1);
    this.frames = table(2);
    this.users = table(3);
    this.mapped = table(4);
    this.orphans = table(5);
    this.locks = table(6);
    this.#next = table(7);
    const buckets = 2 ** Math.floor(Math.log2(capacity));
    this.#buckets = new Int32Array(buffer, at + TABLES * capacity * 4, buckets);
  }

  /** Makes the tables empty, but for the table of files. */
  format(): void {
    this.#buckets.fill(NONE);
    for (let slot = 0; slot < this.capacity; slot++)
      this.#next[slot] = slot + 1 < this.capacity ? slot + 1 : NONE;
    this.#words[Word.firstFreeTree] = 0;
    this.add(TABLE, NONE);
    this.users[0] = 1;
  }

  /** The entry of a file, or -1. */
  find(number: number): number {
    let slot = this.#buckets[number & (this.#buckets.length - 1)]!;
    while (slot >= 0 && this.numbers[slot] !== number) slot = this.#next[slot]!;
    return slot;
  }

  /** Whether another file can be used. */
  requireRoom(path: string): void {
    if (this.#words[Word.firstFreeTree]! >= 0) return;
    throw new SystemError('ENFILE', -constants.errno.ENFILE, 'open', path, path);
  }

  /** A new entry. There is room. */
  add(number: number, recordFrame: number): number {
    const slot = this.#words[Word.firstFreeTree]!;
    this.#words[Word.firstFreeTree] = this.#next[slot]!;
    this.numbers[slot] = number;
    this.recordFrames[slot] = recordFrame;
    for (const table of [this.frames, this.users, this.mapped, this.orphans, this.locks]) table[slot] = 0;
    const bucket = number & (this.#buckets.length - 1);
    this.#next[slot] = this.#buckets[bucket]!;
    this.#buckets[bucket] = slot;
    return slot;
  }

  remove(slot: number): void {
    const bucket = this.numbers[slot]! & (this.#buckets.length - 1);
    if (this.#buckets[bucket] === slot) {
      this.#buckets[bucket] = this.#next[slot]!;
    } else {
      let before = this.#buckets[bucket]!;
      while (this.#next[before] !== slot) before = this.#next[before]!;
      this.#next[before] = this.#next[slot]!;
    }
    this.#next[slot] = this.#words[Word.firstFreeTree]!;
    this.#words[Word.firstFreeTree] = slot;
  }
}
