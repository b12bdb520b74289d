import type { SecureHeap } from './heap.ts';
import type { SecurePointer } from './pointer.ts';

/** Fields of an entry, in bytes from its beginning. The value follows the key. */
export const EntryField = {
  /** Address of the next entry of the chain, 0 at its end. Unused with open addressing. */
  next: 0,
  hash: 8,
  keyLength: 12,
  valueLength: 16,
  key: 20,
} as const;

/** Finds the entries of a map by their hash. The candidates of a look-up are `first`, then `next` until 0. */
export interface EntryIndex {
  first(hash: number): number;
  next(): number;
  /** `size`: the entries that there are already. */
  insert(hash: number, address: number, size: number): void;
  remove(hash: number, address: number): void;
  addresses(): Generator<number>;
  unlink(): void;
  free(): void;
}

const LEAST_BUCKETS = 16;

/** A list of entries per bucket: the index holds the first, each entry the next. */
export class ChainedIndex implements EntryIndex {
  readonly #heap: SecureHeap;
  readonly #entries: SecurePointer;
  #buckets: SecurePointer;
  #mask = LEAST_BUCKETS - 1;
  #hash = 0;
  #following = 0;

  /** `entries` points to the heap as a whole. */
  constructor(heap: SecureHeap, entries: SecurePointer) {
    this.#heap = heap;
    this.#entries = entries;
    this.#buckets = heap.alloc(LEAST_BUCKETS * 8);
  }

  first(hash: number): number {
    this.#hash = hash;
    this.#following = this.#buckets.getFloat64((hash & this.#mask) * 8);
    return this.next();
  }

  next(): number {
    while (this.#following !== 0) {
      const address = this.#following;
      this.#following = this.#entries.getFloat64(address + EntryField.next);
      if (this.#entries.getUint32(address + EntryField.hash) === this.#hash) return address;
    }
    return 0;
  }

  insert(hash: number, address: number, size: number): void {
    if (size > this.#mask) this.#grow();
    this.#push(this.#buckets, hash & this.#mask, address);
  }

  remove(hash: number, address: number): void {
    const bucket = (hash & this.#mask) * 8;
    const next = this.#entries.getFloat64(address + EntryField.next);
    let before = this.#buckets.getFloat64(bucket);
    if (before === address) {
      this.#buckets.setFloat64(bucket, next);
      return;
    }
    for (;;) {
      const following = this.#entries.getFloat64(before + EntryField.next);
      if (following === address) break;
      before = following;
    }
    this.#entries.setFloat64(before + EntryField.next, next);
  }

  *addresses(): Generator<number> {
    for (let bucket = 0; bucket <= this.#mask; bucket++) {
      for (let address = this.#buckets.getFloat64(bucket * 8); address !== 0; ) {
        const next = this.#entries.getFloat64(address + EntryField.next);
        yield address;
        address = next;
      }
    }
  }

  unlink(): void {
    this.#buckets.unlink();
  }

  free(): void {
    this.#heap.free(this.#buckets);
  }

  #push(buckets: SecurePointer, bucket: number, address: number): void {
    this.#entries.setFloat64(address + EntryField.next, buckets.getFloat64(bucket * 8));
    buckets.setFloat64(bucket * 8, address);
  }

  #grow(): void {
    const mask = this.#mask * 2 + 1;
    const buckets = this.#heap.alloc((mask + 1) * 8);
    for (const address of this.addresses()) {
      this.#push(buckets, this.#entries.getUint32(address + EntryField.hash) & mask, address);
    }
    this.unlink();
    this.#heap.free(this.#buckets);
    this.#buckets = buckets;
    this.#mask = mask;
  }
}

/** A slot holds the address of an entry and its hash; 0 as a hash says that it is empty. */
const SLOT_BYTES = 16;
const SLOT_HASH = 8;
const MOST_FULL = 0.75;

/** Open addressing with linear probing. The hash beside the address spares entries that cannot be the one. */
export class OpenIndex implements EntryIndex {
  readonly #heap: SecureHeap;
  #slots: SecurePointer;
  #mask = LEAST_BUCKETS - 1;
  #hash = 0;
  #slot = 0;

  constructor(heap: SecureHeap) {
    this.#heap = heap;
    this.#slots = heap.alloc(LEAST_BUCKETS * SLOT_BYTES);
  }

  first(hash: number): number {
    this.#hash = hash;
    this.#slot = (hash - 1) & this.#mask;
    return this.next();
  }

  next(): number {
    for (;;) {
      this.#slot = (this.#slot + 1) & this.#mask;
      const hash = this.#hashAt(this.#slot);
      if (hash === 0) return 0;
      if (hash !== this.#hash) continue;
      return this.#slots.getFloat64(this.#slot * SLOT_BYTES);
    }
  }

  insert(hash: number, address: number, size: number): void {
    if (size + 1 > (this.#mask + 1) * MOST_FULL) this.#grow();
    this.#put(hash, address);
  }

  remove(hash: number, address: number): void {
    let hole = hash & this.#mask;
    while (this.#slots.getFloat64(hole * SLOT_BYTES) !== address) hole = (hole + 1) & this.#mask;
    // Later entries of the run move up unless that would put them before their own place (Knuth, 6.4: algorithm R).
    for (let slot = (hole + 1) & this.#mask; this.#hashAt(slot) !== 0; slot = (slot + 1) & this.#mask) {
      if (((slot - this.#hashAt(slot)) & this.#mask) < ((slot - hole) & this.#mask)) continue;
      this.#slots.copy(slot * SLOT_BYTES, this.#slots, hole * SLOT_BYTES, SLOT_BYTES);
      hole = slot;
    }
    this.#slots.fill(0, hole * SLOT_BYTES, SLOT_BYTES);
  }

  *addresses(): Generator<number> {
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#hashAt(slot) !== 0) yield this.#slots.getFloat64(slot * SLOT_BYTES);
    }
  }

  unlink(): void {
    this.#slots.unlink();
  }

  free(): void {
    this.#heap.free(this.#slots);
  }

  #hashAt(slot: number): number {
    return this.#slots.getUint32(slot * SLOT_BYTES + SLOT_HASH);
  }

  #put(hash: number, address: number): void {
    let slot = hash & this.#mask;
    while (this.#hashAt(slot) !== 0) slot = (slot + 1) & this.#mask;
    this.#slots.setFloat64(slot * SLOT_BYTES, address);
    this.#slots.setUint32(slot * SLOT_BYTES + SLOT_HASH, hash);
  }

  #grow(): void {
    const old = this.#slots;
    const count = this.#mask + 1;
    this.#slots = this.#heap.alloc(count * 2 * SLOT_BYTES);
    this.#mask = count * 2 - 1;
    for (let slot = 0; slot < count; slot++) {
      const hash = old.getUint32(slot * SLOT_BYTES + SLOT_HASH);
      if (hash !== 0) this.#put(hash, old.getFloat64(slot * SLOT_BYTES));
    }
    this.#heap.free(old);
  }
}
