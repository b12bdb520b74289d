import { InvalidArgumentError } from '../../errors.ts';
import type { SecureHeap } from './heap.ts';
import { canonicalNumber, KeyHash } from './map-key.ts';
import type { SecurePointer } from './pointer.ts';

const KEY_BYTES = 8;
const LEAST_SLOTS = 16;
/** Filled beyond this, linear probing gets long. */
const MOST_FULL = 0.75;

/**
 * A hash table of numbers to values of a fixed width, in secure memory: one block of slots, each a key and its value,
 * with open addressing and linear probing (Knuth, 6.4: algorithm L, and R for deletion). A look-up touches one page
 * nearly always. A slot whose key is 0 is empty, as all are at first; the key 0 is stored as NaN, which is no key.
 */
export class SecureNumberMap implements Disposable {
  readonly valueBytes: number;
  readonly #heap: SecureHeap;
  readonly #options: { readonly sparse?: boolean };
  readonly #slotBytes: number;
  readonly #hash = new KeyHash();
  #slots: SecurePointer;
  #mask: number;
  #size = 0;

  /** `capacity`: entries that it holds before it has to grow. */
  constructor(heap: SecureHeap, valueBytes: number, options: { capacity?: number; sparse?: boolean } = {}) {
    if (!Number.isSafeInteger(valueBytes) || valueBytes < 1) {
      throw new InvalidArgumentError(`a value has a whole number of bytes from 1 on, not ${valueBytes}`);
    }
    const least = Math.max(LEAST_SLOTS, Math.ceil(((options.capacity ?? 0) + 1) / MOST_FULL));
    const slots = 2 ** Math.ceil(Math.log2(least));
    this.valueBytes = valueBytes;
    this.#heap = heap;
    this.#options = options.sparse === undefined ? {} : { sparse: options.sparse };
    this.#slotBytes = KEY_BYTES + Math.ceil(valueBytes / KEY_BYTES) * KEY_BYTES;
    this.#slots = heap.alloc(slots * this.#slotBytes, this.#options);
    this.#mask = slots - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** The block that `find` and `put` give offsets into. */
  get values(): SecurePointer {
    return this.#slots;
  }

  has(key: number): boolean {
    return this.find(key) >= 0;
  }

  /** The offset in `values` of the value of a key, or -1. It is good until a key is added or deleted. */
  find(key: number): number {
    const slot = this.#probe(storedKey(key));
    return slot >= 0 ? slot * this.#slotBytes + KEY_BYTES : -1;
  }

  /** As `find`, after adding the key with a value of zeros if it is not there. */
  put(key: number): number {
    const stored = storedKey(key);
    let slot = this.#probe(stored);
    if (slot < 0) {
      if (this.#size + 1 > (this.#mask + 1) * MOST_FULL) {
        this.#grow();
        slot = this.#probe(stored);
      }
      slot = ~slot;
      this.#slots.setFloat64(slot * this.#slotBytes, stored);
      this.#size++;
    }
    return slot * this.#slotBytes + KEY_BYTES;
  }

  /** Fills `target` with the value of a key. False when there is none. */
  get(key: number, target: Uint8Array<ArrayBuffer>): boolean {
    const offset = this.find(key);
    if (offset < 0) return false;
    this.#slots.read(offset, target.subarray(0, this.valueBytes));
    return true;
  }

  set(key: number, value: Uint8Array<ArrayBuffer>): void {
    if (value.length !== this.valueBytes) {
      throw new InvalidArgumentError(`a value of this map has ${this.valueBytes} bytes, not ${value.length}`);
    }
    const offset = this.put(key);
    this.#slots.write(offset, value);
  }

  delete(key: number): boolean {
    let hole = this.#probe(storedKey(key));
    if (hole < 0) return false;
    // Later entries of the run move up unless that would put them before their own place.
    for (let slot = (hole + 1) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const stored = this.#slots.getFloat64(slot * this.#slotBytes);
      if (stored === 0) break;
      const home = this.#homeOf(stored);
      if (((slot - home) & this.#mask) < ((slot - hole) & this.#mask)) continue;
      this.#slots.copy(slot * this.#slotBytes, this.#slots, hole * this.#slotBytes, this.#slotBytes);
      hole = slot;
    }
    this.#slots.fill(0, hole * this.#slotBytes, this.#slotBytes);
    this.#size--;
    return true;
  }

  /** Every key with the offset of its value, in no order. The map must not change meanwhile. */
  *entries(): Generator<[key: number, offset: number]> {
    for (let slot = 0; slot <= this.#mask; slot++) {
      const stored = this.#slots.getFloat64(slot * this.#slotBytes);
      if (stored !== 0) yield [Number.isNaN(stored) ? 0 : stored, slot * this.#slotBytes + KEY_BYTES];
    }
  }

  [Symbol.iterator](): Generator<[key: number, offset: number]> {
    return this.entries();
  }

  unlink(): void {
    this.#slots.unlink();
  }

  free(): void {
    this.#heap.free(this.#slots);
    this.#size = 0;
  }

  [Symbol.dispose](): void {
    this.free();
  }

  /** The slot of a key, or, inverted, the empty one where it would go. */
  #probe(stored: number): number {
    const bytes = this.#slotBytes;
    const zero = Number.isNaN(stored);
    for (let slot = this.#homeOf(stored); ; slot = (slot + 1) & this.#mask) {
      const there = this.#slots.getFloat64(slot * bytes);
      if (there === stored || (zero && Number.isNaN(there))) return slot;
      if (there === 0) return ~slot;
    }
  }

  #homeOf(stored: number): number {
    return this.#hash.ofNumber(Number.isNaN(stored) ? 0 : stored) & this.#mask;
  }

  #grow(): void {
    const old = this.#slots;
    const slots = this.#mask + 1;
    this.#slots = this.#heap.alloc(slots * 2 * this.#slotBytes, this.#options);
    this.#mask = slots * 2 - 1;
    for (let slot = 0; slot < slots; slot++) {
      const stored = old.getFloat64(slot * this.#slotBytes);
      if (stored === 0) continue;
      const to = ~this.#probe(stored) * this.#slotBytes;
      old.copy(slot * this.#slotBytes, this.#slots, to, this.#slotBytes);
    }
    this.#heap.free(old);
  }
}

function storedKey(key: number): number {
  return canonicalNumber(key) === 0 ? Number.NaN : key;
}
