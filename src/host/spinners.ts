import { availableParallelism } from 'node:os';

/** Workers of this process that can be counted: those beyond never spin. */
const SPINNERS_COUNTED = 256;

/** Shared by all enclaves of the process, and handed to every worker. */
let processWide: SharedArrayBuffer | undefined;

/**
 * Keeps the workers of a process from spinning on more cores than there are: a worker asks before it spins, and
 * one that is refused sleeps at once. Each worker has a word of its own, so that one that dies leaves nothing
 * behind that could not be cleared.
 */
export class Spinners {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #slot: number;
  readonly #most: number;

  /** `slot` is what {@link takeSpinnerSlot} gave. */
  constructor(buffer: SharedArrayBuffer, slot: number, most: number = availableParallelism()) {
    this.#words = new Int32Array(buffer);
    this.#slot = slot;
    this.#most = most;
  }

  /** Whether this worker may spin now; then {@link leave} says that it no longer does. */
  enter(): boolean {
    if (this.#slot < 0) return false;
    Atomics.store(this.#words, 1 + this.#slot, SPINNING);
    if (this.#spinning() <= this.#most) return true;
    this.leave();
    return false;
  }

  leave(): void {
    Atomics.store(this.#words, 1 + this.#slot, TAKEN);
  }

  #spinning(): number {
    const used = Atomics.load(this.#words, USED);
    let count = 0;
    for (let slot = 1; slot <= used; slot++) if (Atomics.load(this.#words, slot) === SPINNING) count++;
    return count;
  }
}

/** The word before the slots: slots that were ever used. */
const USED = 0;
const FREE = 0;
const TAKEN = 1;
const SPINNING = 2;

export function spinnersBuffer(): SharedArrayBuffer {
  processWide ??= new SharedArrayBuffer((1 + SPINNERS_COUNTED) * 4);
  return processWide;
}

/** A slot for a worker that is about to start; -1 when all are taken. Only the thread that starts workers asks. */
export function takeSpinnerSlot(): number {
  const words = new Int32Array(spinnersBuffer());
  const slot = words.indexOf(FREE, 1) - 1;
  if (slot < 0) return -1;
  Atomics.store(words, 1 + slot, TAKEN);
  if (Atomics.load(words, USED) <= slot) Atomics.store(words, USED, slot + 1);
  return slot;
}

/** Gives the slot of a worker that has ended back. */
export function releaseSpinnerSlot(slot: number): void {
  if (slot >= 0) Atomics.store(new Int32Array(spinnersBuffer()), 1 + slot, FREE);
}
