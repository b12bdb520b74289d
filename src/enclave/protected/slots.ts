import { PROTECTED_SLOTS_MAX } from '../../limits.ts';
import { ROOT_SLOTS } from './format.ts';

const FULL = 0xffff_ffff;
const INITIAL_WORDS = 1024;
/** Space is searched from the start again when an eighth of the store is free; otherwise the store grows. */
const WORTH_A_SEARCH = 8;

/** Slots that the state before does not need any more once the state after it is durable. */
export interface Released {
  readonly words: number[];
  readonly masks: number[];
}

/**
 * Which slots of the store are in use, a bit each: by the state at work, and by the states that a crash may bring
 * back. A slot in use by either is never written, so that a committed state stays whole whatever is cut short.
 */
export class Slots {
  #used = new Uint32Array(INITIAL_WORDS);
  #kept = new Uint32Array(INITIAL_WORDS);
  #end = ROOT_SLOTS;
  #free = 0;
  #hint = ROOT_SLOTS;
  /** Slots that a write is on its way to; they are free only after it arrived. */
  readonly #busy = new Set<number>();
  readonly #freedWhileBusy = new Set<number>();

  /** One past the highest slot ever used: so many the store has. */
  get end(): number {
    return this.#end;
  }

  /** Slots below the end that the state at work does not use. */
  get free(): number {
    return this.#free;
  }

  /** Starts over with a store of so many slots, all of them free. */
  reset(end: number): void {
    this.#used = new Uint32Array(INITIAL_WORDS);
    this.#kept = new Uint32Array(INITIAL_WORDS);
    this.#reserve(end);
    this.#end = end;
    this.#free = end - ROOT_SLOTS;
    this.#hint = ROOT_SLOTS;
  }

  /** A slot of a committed state is in use; false when it was already, or cannot be. */
  claim(slot: number): boolean {
    const word = slot >>> 5;
    const bit = 1 << (slot & 31);
    if (slot < ROOT_SLOTS || slot >= this.#end || (this.#used[word]! & bit) !== 0) return false;
    this.#used[word]! |= bit;
    this.#kept[word]! |= bit;
    this.#free--;
    return true;
  }

  /** Holds every slot below the end in use, because it is not known which are: new blocks go behind them. */
  claimAll(): void {
    this.#used.fill(FULL, 0, (this.#end + 31) >>> 5);
    this.#kept.fill(FULL, 0, (this.#end + 31) >>> 5);
    this.#end = ((this.#end + 31) >>> 5) << 5;
    this.#free = 0;
    this.#hint = this.#end;
  }

  /** A slot to write a block to, where it can be next to the one before; -1 when the store is as large as it may be. */
  allocate(): number {
    let slot = this.#next(this.#hint);
    if (slot >= this.#end && this.#free * WORTH_A_SEARCH >= this.#end) slot = this.#next(ROOT_SLOTS);
    if (slot >= PROTECTED_SLOTS_MAX) slot = this.#next(ROOT_SLOTS);
    if (slot >= PROTECTED_SLOTS_MAX) return -1;
    if (slot < this.#end) {
      this.#free--;
    } else {
      this.#reserve(slot + 1);
      this.#free += slot - this.#end;
      this.#end = slot + 1;
    }
    this.#used[slot >>> 5]! |= 1 << (slot & 31);
    this.#hint = slot + 1;
    return slot;
  }

  release(slot: number): void {
    if (this.#busy.has(slot)) {
      this.#freedWhileBusy.add(slot);
      return;
    }
    this.#used[slot >>> 5]! &= ~(1 << (slot & 31));
    this.#free++;
  }

  /** Undoes the last allocation. */
  putBack(slot: number): void {
    this.release(slot);
    this.#hint = slot;
  }

  /** A write to the slot is on its way. */
  hold(slot: number): void {
    this.#busy.add(slot);
  }

  /** The write arrived. */
  land(slot: number): void {
    this.#busy.delete(slot);
    if (this.#freedWhileBusy.delete(slot)) this.release(slot);
  }

  /** Keeps what the state at work uses now, which is about to be committed, beside what the state before uses. */
  freeze(): Released {
    const released: Released = { words: [], masks: [] };
    const words = (this.#end + 31) >>> 5;
    for (let word = 0; word < words; word++) {
      const used = this.#used[word]!;
      const mask = this.#kept[word]! & ~used;
      if (mask !== 0) {
        released.words.push(word);
        released.masks.push(mask);
      }
      this.#kept[word]! |= used;
    }
    return released;
  }

  /** The state that was frozen is durable: the one before needs its slots no more. */
  settle({ words, masks }: Released): void {
    for (let index = 0; index < words.length; index++) this.#kept[words[index]!]! &= ~masks[index]!;
  }

  /** The first slot from `start` on that no state uses. */
  #next(start: number): number {
    const words = (this.#end + 31) >>> 5;
    let word = start >>> 5;
    let below = (1 << (start & 31)) - 1;
    for (; word < words; word++, below = 0) {
      const taken = this.#used[word]! | this.#kept[word]! | below;
      if (~taken !== 0) return (word << 5) + (31 - Math.clz32(~taken & -~taken));
    }
    return Math.max(start, this.#end);
  }

  #reserve(slots: number): void {
    const words = (slots + 31) >>> 5;
    if (words <= this.#used.length) return;
    const length = Math.max(words, this.#used.length + (this.#used.length >> 2));
    const grow = (old: Uint32Array<ArrayBuffer>) => {
      const larger = new Uint32Array(length);
      larger.set(old);
      return larger;
    };
    this.#used = grow(this.#used);
    this.#kept = grow(this.#kept);
  }
}
