import { Checksum, finalMix } from './checksum.ts';

/**
 * The model: 64-bit values under 64-bit keys, both as two unsigned 32-bit words, in a fixed region of memory.
 * Everything that a table knows lies in that region, so it is as private as the region is.
 */
export interface Table {
  /** Entries that fit. */
  readonly capacity: number;
  /** Entries that are there. */
  readonly size: number;
  /** Adds to the value of a key, wrapping at 64 bits. A key that is not there starts from zero. */
  add(keyLow: number, keyHigh: number, deltaLow: number, deltaHigh: number): void;
  /** Whether the key is there; if so, `value` takes the low word and the high word of its value. */
  get(keyLow: number, keyHigh: number, value: Uint32Array): boolean;
  checksum(): Checksum;
}

/** No entry can be added to this table. Keys that are there can still be updated. */
export class TableFullError extends Error {
  readonly code = 'TABLE_FULL';

  constructor(capacity: number) {
    super(`the table holds the ${capacity} keys that it has room for: give it a larger region`);
  }

  override get name(): string {
    return 'TableFullError';
  }
}

const WORD_BYTES = Uint32Array.BYTES_PER_ELEMENT;
const TWO_TO_32 = 2 ** 32;

/** Words of a slot: key low, key high, value low, value high. */
const SLOT_WORDS = 4;
/** Of the slots in use at most: probes stay short (8.5 slots for a miss on average, Knuth 6.4), and all end. */
export const MAXIMUM_LOAD = 0.75;

/**
 * Open addressing with linear probing. A slot whose key is zero is free; the key zero itself has a slot of its
 * own behind the others, where the key words say whether it is there.
 */
export class OpenAddressingTable implements Table {
  readonly capacity: number;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #slots: number;
  /** Maps a 32-bit hash onto the slots by one multiplication, whatever their number. */
  readonly #scale: number;
  #size = 0;

  /** `bytes` from `offset` of `region` are the table's alone. 48 bytes at least; an offset of whole words. */
  constructor(region: ArrayBuffer, offset: number, bytes: number) {
    this.#slots = Math.floor(bytes / (SLOT_WORDS * WORD_BYTES)) - 1;
    if (this.#slots < 2) throw new RangeError('a table needs 48 bytes at least');
    this.capacity = Math.floor(this.#slots * MAXIMUM_LOAD);
    this.#scale = this.#slots / TWO_TO_32;
    this.#words = new Uint32Array(region, offset, (this.#slots + 1) * SLOT_WORDS).fill(0);
  }

  get size(): number {
    return this.#size;
  }

  add(keyLow: number, keyHigh: number, deltaLow: number, deltaHigh: number): void {
    const words = this.#words;
    const slot = this.#find(keyLow, keyHigh);
    if (!this.#isUsed(slot)) this.#claim(slot, keyLow, keyHigh);
    addTo(words, slot + 2, deltaLow, deltaHigh);
  }

  get(keyLow: number, keyHigh: number, value: Uint32Array): boolean {
    const slot = this.#find(keyLow, keyHigh);
    if (!this.#isUsed(slot)) return false;
    value[0] = this.#words[slot + 2]!;
    value[1] = this.#words[slot + 3]!;
    return true;
  }

  checksum(): Checksum {
    const words = this.#words;
    const checksum = new Checksum();
    const zero = this.#slots * SLOT_WORDS;
    for (let slot = 0; slot < zero; slot += SLOT_WORDS) {
      if (this.#isUsed(slot)) {
        checksum.add(words[slot]!, words[slot + 1]!, words[slot + 2]!, words[slot + 3]!);
      }
    }
    if (this.#isUsed(zero)) checksum.add(0, 0, words[zero + 2]!, words[zero + 3]!);
    return checksum;
  }

  /** The word where the slot of the key begins, or the free slot where it belongs. */
  #find(keyLow: number, keyHigh: number): number {
    const words = this.#words;
    const zero = this.#slots * SLOT_WORDS;
    if ((keyLow | keyHigh) === 0) return zero;
    let slot = Math.floor(hashKey(keyLow, keyHigh) * this.#scale) * SLOT_WORDS;
    for (;;) {
      const low = words[slot]!;
      const high = words[slot + 1]!;
      if ((low === keyLow && high === keyHigh) || (low | high) === 0) return slot;
      slot += SLOT_WORDS;
      if (slot === zero) slot = 0;
    }
  }

  #isUsed(slot: number): boolean {
    return (this.#words[slot]! | this.#words[slot + 1]!) !== 0;
  }

  #claim(slot: number, keyLow: number, keyHigh: number): void {
    if (this.#size === this.capacity) throw new TableFullError(this.capacity);
    this.#size += 1;
    const isZero = slot === this.#slots * SLOT_WORDS;
    this.#words[slot] = isZero ? 1 : keyLow;
    this.#words[slot + 1] = keyHigh;
  }
}

/** Words of a node: key low, key high, value low, value high, and the number of the next node plus one. */
const NODE_WORDS = 5;

/** Separate chaining: a bucket per node, each the number plus one of the first node of a linked list. */
export class ChainingTable implements Table {
  readonly capacity: number;
  readonly #buckets: Uint32Array<ArrayBuffer>;
  readonly #nodes: Uint32Array<ArrayBuffer>;
  readonly #scale: number;
  #size = 0;

  /** `bytes` from `offset` of `region` are the table's alone. 24 bytes at least; an offset of whole words. */
  constructor(region: ArrayBuffer, offset: number, bytes: number) {
    this.capacity = Math.floor(bytes / ((NODE_WORDS + 1) * WORD_BYTES));
    if (this.capacity < 1) throw new RangeError('a table needs 24 bytes at least');
    this.#scale = this.capacity / TWO_TO_32;
    this.#buckets = new Uint32Array(region, offset, this.capacity).fill(0);
    const nodes = offset + this.capacity * WORD_BYTES;
    this.#nodes = new Uint32Array(region, nodes, this.capacity * NODE_WORDS).fill(0);
  }

  get size(): number {
    return this.#size;
  }

  add(keyLow: number, keyHigh: number, deltaLow: number, deltaHigh: number): void {
    const bucket = this.#bucketOf(keyLow, keyHigh);
    let node = this.#find(bucket, keyLow, keyHigh);
    if (node < 0) node = this.#append(bucket, keyLow, keyHigh);
    addTo(this.#nodes, node + 2, deltaLow, deltaHigh);
  }

  get(keyLow: number, keyHigh: number, value: Uint32Array): boolean {
    const node = this.#find(this.#bucketOf(keyLow, keyHigh), keyLow, keyHigh);
    if (node < 0) return false;
    value[0] = this.#nodes[node + 2]!;
    value[1] = this.#nodes[node + 3]!;
    return true;
  }

  checksum(): Checksum {
    const nodes = this.#nodes;
    const checksum = new Checksum();
    const end = this.#size * NODE_WORDS;
    for (let node = 0; node < end; node += NODE_WORDS) {
      checksum.add(nodes[node]!, nodes[node + 1]!, nodes[node + 2]!, nodes[node + 3]!);
    }
    return checksum;
  }

  #bucketOf(keyLow: number, keyHigh: number): number {
    return Math.floor(hashKey(keyLow, keyHigh) * this.#scale);
  }

  /** The word where the node of the key begins, or -1. */
  #find(bucket: number, keyLow: number, keyHigh: number): number {
    const nodes = this.#nodes;
    let link = this.#buckets[bucket]!;
    while (link !== 0) {
      const node = (link - 1) * NODE_WORDS;
      if (nodes[node] === keyLow && nodes[node + 1] === keyHigh) return node;
      link = nodes[node + 4]!;
    }
    return -1;
  }

  #append(bucket: number, keyLow: number, keyHigh: number): number {
    if (this.#size === this.capacity) throw new TableFullError(this.capacity);
    const node = this.#size * NODE_WORDS;
    this.#size += 1;
    this.#nodes[node] = keyLow;
    this.#nodes[node + 1] = keyHigh;
    this.#nodes[node + 4] = this.#buckets[bucket]!;
    this.#buckets[bucket] = this.#size;
    return node;
  }
}

/** Adds to a value at `words[index]` (low) and `words[index + 1]` (high), wrapping at 64 bits. */
export function addTo(words: Uint32Array, index: number, deltaLow: number, deltaHigh: number): void {
  const low = (words[index]! + deltaLow) >>> 0;
  const carry = low < deltaLow ? 1 : 0;
  words[index] = low;
  words[index + 1] = words[index + 1]! + deltaHigh + carry;
}

export function hashKey(keyLow: number, keyHigh: number): number {
  return finalMix(keyLow ^ Math.imul(finalMix(keyHigh ^ 0x9e37_79b9), 0x85eb_ca6b));
}
