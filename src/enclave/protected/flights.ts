import type { BlockFile } from './block-file.ts';
import { Word } from './books.ts';
import { BLOCK_BYTES } from './format.ts';
import type { Frames } from './frames.ts';
import type { Slots } from './slots.ts';

/**
 * Writes to the store that are on their way while the thread goes on. A frame in flight stays where it is, counts as
 * clean, and is in one flight at most; when the write fails it is dirty again. A slot in flight is not used again.
 */
export class Flights {
  readonly #frames: Frames;
  readonly #slots: Slots;
  readonly #file: BlockFile;
  /** Those of this thread. */
  readonly #own = new Set<Promise<void>>();

  constructor(frames: Frames, slots: Slots, file: BlockFile) {
    this.#frames = frames;
    this.#slots = slots;
    this.#file = file;
  }

  /** Whether this thread has none on its way. */
  get ownLanded(): boolean {
    return this.#own.size === 0;
  }

  /** Whether no thread has any on its way. */
  get allLanded(): boolean {
    return this.#frames.words[Word.flights] === 0;
  }

  /** Sends `bytes`, which frames were sealed into, to the slots from `first` on. */
  start(frames: readonly number[], first: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { words, pins, flights } = this.#frames;
    words[Word.flights]! += 1;
    words[Word.lastFlight] = (words[Word.lastFlight]! + 1) & 0x7fff_ffff || 1;
    const flight = words[Word.lastFlight]!;
    for (const frame of frames) {
      this.#frames.clean(frame);
      pins[frame]! += 1;
      flights[frame] = flight;
    }
    for (let slot = first; slot < first + frames.length; slot++) this.#slots.hold(slot);
    const land = (failed: boolean) => this.#frames.lock.run(() => this.#land(flight, frames, failed));
    const landed = this.#file.writeAsync(first * BLOCK_BYTES, bytes).then(
      () => land(false),
      (error: unknown) => {
        land(true);
        throw error;
      },
    );
    const settled = landed.catch(() => {}).finally(() => this.#own.delete(settled));
    this.#own.add(settled);
    return landed;
  }

  /** When all of this thread that is on its way now has arrived or failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#own);
  }

  /** Frames in flight are dirty again: a commit that does not wait for them writes them itself. */
  distrust(): void {
    if (this.allLanded) return;
    const { count, flights } = this.#frames;
    for (let frame = 0; frame < count; frame++) if (flights[frame] !== 0) this.#frames.dirty(frame);
  }

  /** The frame's block is gone. */
  forget(frame: number): void {
    if (this.#frames.flights[frame] !== 0) this.#release(frame);
  }

  #land(flight: number, frames: readonly number[], failed: boolean): void {
    this.#frames.words[Word.flights]! -= 1;
    for (const frame of frames) {
      if (this.#frames.flights[frame] !== flight) continue;
      if (failed) this.#frames.dirty(frame);
      this.#release(frame);
    }
  }

  #release(frame: number): void {
    this.#frames.pins[frame]! -= 1;
    this.#frames.flights[frame] = 0;
  }
}
