import type { BlockFile } from './block-file.ts';
import { BLOCK_BYTES } from './format.ts';
import type { Frames } from './frames.ts';
import type { Slots } from './slots.ts';

interface Flight {
  readonly frames: Set<number>;
}

/**
 * Writes to the store that are on their way while the thread goes on. A frame in flight stays where it is, counts as
 * clean, and is in one flight at most; when the write fails it is dirty again. A slot in flight is not used again.
 */
export class Flights {
  readonly #frames: Frames;
  readonly #slots: Slots;
  readonly #file: BlockFile;
  readonly #flying = new Map<number, Flight>();
  readonly #all = new Set<Promise<void>>();

  constructor(frames: Frames, slots: Slots, file: BlockFile) {
    this.#frames = frames;
    this.#slots = slots;
    this.#file = file;
  }

  get none(): boolean {
    return this.#all.size === 0;
  }

  /** Sends `bytes`, which frames were sealed into, to the slots from `first` on. */
  start(frames: readonly number[], first: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const flight: Flight = { frames: new Set(frames) };
    for (const frame of frames) {
      this.#frames.clean(frame);
      this.#frames.pins[frame]! += 1;
      this.#frames.flights[frame] = 1;
      this.#flying.set(frame, flight);
    }
    const count = bytes.length / BLOCK_BYTES;
    for (let index = 0; index < count; index++) this.#slots.hold(first + index);
    const landed = this.#file.writeAsync(first * BLOCK_BYTES, bytes).then(
      () => this.#land(flight, first, count, false),
      (error: unknown) => {
        this.#land(flight, first, count, true);
        throw error;
      },
    );
    const settled = landed.catch(() => {}).finally(() => this.#all.delete(settled));
    this.#all.add(settled);
    return landed;
  }

  /** When all that is on its way now has arrived or failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#all);
  }

  /** Frames in flight are dirty again: a commit that does not wait for them writes them itself. */
  distrust(): void {
    for (const frame of this.#flying.keys()) this.#frames.dirty(frame);
  }

  /** The frame's block is gone. */
  forget(frame: number): void {
    const flight = this.#flying.get(frame);
    if (flight === undefined) return;
    flight.frames.delete(frame);
    this.#release(frame);
  }

  #land(flight: Flight, first: number, count: number, failed: boolean): void {
    for (const frame of flight.frames) {
      if (failed) this.#frames.dirty(frame);
      this.#release(frame);
    }
    for (let index = 0; index < count; index++) this.#slots.land(first + index);
  }

  #release(frame: number): void {
    this.#frames.pins[frame]! -= 1;
    this.#frames.flights[frame] = 0;
    this.#flying.delete(frame);
  }
}
