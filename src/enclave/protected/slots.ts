import { PROTECTED_SLOTS_MAX } from '../../limits.ts';
import { ROOT_SLOTS } from './format.ts';

/** Space is searched from the start again when an eighth of the store is free; otherwise the store grows. */
const WORTH_A_SEARCH = 8;

/** Words before the bits, each a Uint32. */
const END = 0;
const FREE = 1;
const HINT = 2;
/** How many words there are for bits. */
const SIZE = 3;
const HEADER_BYTES = 64;
/** Of each 32 slots there are two words, with a bit for each slot. */
const USED = 0;
const KEPT = 1;
const WORDS = 2;
const FULL = 0xffff_ffff;
/** The bits of 260,000 slots: 1 GB of store. */
const GROWTH_BYTES = 65_536;
const BYTES_MAX: number = HEADER_BYTES + (PROTECTED_SLOTS_MAX / 32 + 1) * WORDS * 4 + GROWTH_BYTES;

/** Slots that the state before does not need any more once the state after it is durable. */
export interface Released {
  readonly words: number[];
  readonly masks: number[];
}

/** Memory for the bits of a store, which grows with it: 61 KB for 1 GB. */
export function createSlotMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES, { maxByteLength: BYTES_MAX });
}

/**
 * Which slots of the store are in use, a bit each: by the state at work; by the states that a crash may bring back, or
 * by a write on its way. A slot in use by any of them is never written, so that a committed state stays whole whatever is
 * cut short. The bits lie in memory that all threads of the enclave share.
 */
export class Slots {
  readonly #memory: SharedArrayBuffer;
  readonly #header: Uint32Array<SharedArrayBuffer>;
  #bits: Uint32Array<SharedArrayBuffer>;

  constructor(memory: SharedArrayBuffer) {
    this.#memory = memory;
    this.#header = new Uint32Array(memory, 0, HEADER_BYTES / 4);
    this.#bits = this.#map();
  }

  /** One past the highest slot ever used: so many the store has. */
  get end(): number {
    return this.#header[END]!;
  }

  /** Slots below the end that the state at work does not use. */
  get free(): number {
    return this.#header[FREE]!;
  }

  /** Starts over with a store of so many slots, all of them free. */
  reset(end: number): void {
    this.#reserve(end);
    this.#now().fill(0);
    this.#header[END] = end;
    this.#header[FREE] = end - ROOT_SLOTS;
    this.#header[HINT] = ROOT_SLOTS;
  }

  /** A slot of a committed state is in use; false when it was already, or cannot be. */
  claim(slot: number): boolean {
    const bits = this.#now();
    const at = (slot >>> 5) * WORDS;
    const bit = 1 << (slot & 31);
    if (slot < ROOT_SLOTS || slot >= this.end || (bits[at + USED]! & bit) !== 0) return false;
    bits[at + USED]! |= bit;
    bits[at + KEPT]! |= bit;
    this.#header[FREE]! -= 1;
    return true;
  }

  /** Holds every slot below the end in use, because it is not known which are: new blocks go behind them. */
  claimAll(): void {
    const words = (this.end + 31) >>> 5;
    this.#reserve(words << 5);
    this.#now().fill(FULL, 0, words * WORDS);
    this.#header[END] = words << 5;
    this.#header[FREE] = 0;
    this.#header[HINT] = words << 5;
  }

  /** A slot to write a block to, where it can be next to the one before; -1 when the store is as large as it may be. */
  allocate(): number {
    const header = this.#header;
    const { end } = this;
    let slot = this.#next(header[HINT]!);
    if (slot >= end && this.free * WORTH_A_SEARCH >= end) slot = this.#next(ROOT_SLOTS);
    if (slot >= PROTECTED_SLOTS_MAX) slot = this.#next(ROOT_SLOTS);
    if (slot >= PROTECTED_SLOTS_MAX) return -1;
    if (slot < end) {
      header[FREE]! -= 1;
    } else {
      this.#reserve(slot + 1);
      header[FREE]! += slot - end;
      header[END] = slot + 1;
    }
    this.#now()[(slot >>> 5) * WORDS + USED]! |= 1 << (slot & 31);
    header[HINT] = slot + 1;
    return slot;
  }

  /** The state at work does not need the slot any more. */
  release(slot: number): void {
    this.#now()[(slot >>> 5) * WORDS + USED]! &= ~(1 << (slot & 31));
    this.#header[FREE]! += 1;
  }

  /** Undoes the last allocation. */
  putBack(slot: number): void {
    this.release(slot);
    this.#header[HINT] = slot;
  }

  /** A write to the slot is on its way: released or not, it is given to none before a commit after it arrived. */
  hold(slot: number): void {
    this.#now()[(slot >>> 5) * WORDS + KEPT]! |= 1 << (slot & 31);
  }

  /**
   * Keeps what the state at work uses now, which is about to be committed, beside what the state before uses.
   * `quiet`, no write is on its way to a slot that was released: only then is any let go.
   */
  freeze(quiet: boolean): Released {
    const bits = this.#now();
    const released: Released = { words: [], masks: [] };
    const end = ((this.end + 31) >>> 5) * WORDS;
    for (let at = 0; at < end; at += WORDS) {
      const used = bits[at + USED]!;
      const mask = bits[at + KEPT]! & ~used;
      if (quiet && mask !== 0) {
        released.words.push(at);
        released.masks.push(mask);
      }
      bits[at + KEPT]! |= used;
    }
    return released;
  }

  /** The state that was frozen is durable: the one before needs its slots no more. */
  settle({ words, masks }: Released): void {
    const bits = this.#now();
    for (let index = 0; index < words.length; index++) bits[words[index]! + KEPT]! &= ~masks[index]!;
  }

  /** The first slot from `start` on that no state uses and no write is on its way to. */
  #next(start: number): number {
    const bits = this.#now();
    const words = (this.end + 31) >>> 5;
    let word = start >>> 5;
    let below = (1 << (start & 31)) - 1;
    for (; word < words; word++, below = 0) {
      const at = word * WORDS;
      const taken = bits[at + USED]! | bits[at + KEPT]! | below;
      if (~taken !== 0) return (word << 5) + (31 - Math.clz32(~taken & -~taken));
    }
    return Math.max(start, this.end);
  }

  #reserve(slots: number): void {
    const bytes = HEADER_BYTES + ((slots + 31) >>> 5) * WORDS * 4;
    if (bytes <= this.#memory.byteLength) return;
    this.#memory.grow(Math.min(bytes + GROWTH_BYTES, BYTES_MAX));
    this.#header[SIZE] = (this.#memory.byteLength - HEADER_BYTES) >>> 2;
  }

  /** The bits, as many as there are now: another thread may have made room for more. */
  #now(): Uint32Array<SharedArrayBuffer> {
    if (this.#bits.length !== this.#header[SIZE]) this.#bits = this.#map();
    return this.#bits;
  }

  #map(): Uint32Array<SharedArrayBuffer> {
    return new Uint32Array(this.#memory, HEADER_BYTES, this.#header[SIZE]);
  }
}
