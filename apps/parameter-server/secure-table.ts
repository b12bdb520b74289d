import type { memory } from '../../src/enclave.ts';
import { Checksum } from './checksum.ts';
import { addTo, hashKey, MAXIMUM_LOAD, type Table, TableFullError } from './table.ts';

const SLOT_BYTES = 16;
const TWO_TO_32 = 2 ** 32;

/**
 * The table with open addressing for a model that is larger than private memory: the same slots, in one block of
 * secure memory. A look-up touches one page nearly always.
 */
export class SecureTable implements Table {
  readonly capacity: number;
  readonly #block: memory.SecurePointer;
  /** The frames of the heap, as words: where `locate` leads. */
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #slots: number;
  readonly #scale: number;
  #size = 0;

  /** An empty table in `bytes` of the heap, all of which lie in the store, sealed, as they would after long use. */
  constructor(heap: memory.SecureHeap, bytes: number) {
    this.#slots = Math.floor(bytes / SLOT_BYTES) - 1;
    if (this.#slots < 2) throw new RangeError('a table needs 48 bytes at least');
    this.capacity = Math.floor(this.#slots * MAXIMUM_LOAD);
    this.#scale = this.#slots / TWO_TO_32;
    this.#block = heap.alloc((this.#slots + 1) * SLOT_BYTES);
    this.#block.fill(0);
    const { buffer, byteOffset, length } = heap.frames;
    this.#words = new Uint32Array(buffer, byteOffset, length / Uint32Array.BYTES_PER_ELEMENT);
  }

  /** The block that holds all of it, to be freed with the table. */
  get block(): memory.SecurePointer {
    return this.#block;
  }

  get size(): number {
    return this.#size;
  }

  add(keyLow: number, keyHigh: number, deltaLow: number, deltaHigh: number): void {
    const words = this.#words;
    const slot = this.#find(keyLow, keyHigh);
    const at = this.#block.locateToWrite(slot * SLOT_BYTES, SLOT_BYTES) >>> 2;
    if ((words[at]! | words[at + 1]!) === 0) this.#claim(slot, at, keyLow, keyHigh);
    addTo(words, at + 2, deltaLow, deltaHigh);
  }

  get(keyLow: number, keyHigh: number, value: Uint32Array): boolean {
    const words = this.#words;
    const at = this.#locate(this.#find(keyLow, keyHigh));
    if ((words[at]! | words[at + 1]!) === 0) return false;
    value[0] = words[at + 2]!;
    value[1] = words[at + 3]!;
    return true;
  }

  checksum(): Checksum {
    const words = this.#words;
    const checksum = new Checksum();
    for (let slot = 0; slot < this.#slots; slot++) {
      const at = this.#locate(slot);
      if ((words[at]! | words[at + 1]!) !== 0) {
        checksum.add(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
      }
    }
    const zero = this.#locate(this.#slots);
    if (words[zero] !== 0) checksum.add(0, 0, words[zero + 2]!, words[zero + 3]!);
    return checksum;
  }

  /** The slot of the key, or the free one where it belongs. */
  #find(keyLow: number, keyHigh: number): number {
    const words = this.#words;
    if ((keyLow | keyHigh) === 0) return this.#slots;
    for (let slot = Math.floor(hashKey(keyLow, keyHigh) * this.#scale); ; ) {
      const at = this.#locate(slot);
      const low = words[at]!;
      const high = words[at + 1]!;
      if ((low === keyLow && high === keyHigh) || (low | high) === 0) return slot;
      slot = slot + 1 === this.#slots ? 0 : slot + 1;
    }
  }

  #locate(slot: number): number {
    return this.#block.locate(slot * SLOT_BYTES, SLOT_BYTES) >>> 2;
  }

  #claim(slot: number, at: number, keyLow: number, keyHigh: number): void {
    if (this.#size === this.capacity) throw new TableFullError(this.capacity);
    this.#size += 1;
    this.#words[at] = slot === this.#slots ? 1 : keyLow;
    this.#words[at + 1] = keyHigh;
  }
}
