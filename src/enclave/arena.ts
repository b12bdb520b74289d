import { ARENA_CLASSES } from '../limits.ts';

/**
 * The allocator of one channel's payload room in the boundary. Its books are private: the host sees offsets
 * only, and nothing it writes changes what is given out next. Blocks come in a few sizes, last freed first
 * used, so that a busy channel keeps touching the same cache lines.
 */
export class Arena {
  readonly #starts: number[] = [];
  readonly #sizes: number[] = [];
  readonly #free: Int32Array[] = [];
  readonly #freeCount: number[] = [];
  readonly #end: number;

  constructor() {
    let start = 0;
    for (const { bytes, blocks } of ARENA_CLASSES) {
      const free = new Int32Array(blocks);
      for (let index = 0; index < blocks; index++) free[index] = start + (blocks - 1 - index) * bytes;
      this.#starts.push(start);
      this.#sizes.push(bytes);
      this.#free.push(free);
      this.#freeCount.push(blocks);
      start += bytes * blocks;
    }
    this.#end = start;
  }

  /** The offset of a block of at least `length` bytes, or -1 when every block that is large enough is taken. */
  allocate(length: number): number {
    const sizes = this.#sizes;
    for (let index = 0; index < sizes.length; index++) {
      if ((sizes[index] as number) < length) continue;
      const count = this.#freeCount[index] as number;
      if (count === 0) continue;
      this.#freeCount[index] = count - 1;
      return (this.#free[index] as Int32Array)[count - 1] as number;
    }
    return -1;
  }

  /** Gives a block back; `offset` is one that {@link allocate} returned. */
  release(offset: number): void {
    let index = this.#starts.length - 1;
    while (index > 0 && (this.#starts[index] as number) > offset) index--;
    const count = this.#freeCount[index] as number;
    const free = this.#free[index] as Int32Array;
    if (offset < 0 || offset >= this.#end || count >= free.length) {
      throw new RangeError(`no block of this arena begins at ${offset}`);
    }
    free[count] = offset;
    this.#freeCount[index] = count + 1;
  }

  /** Blocks that are given out now. */
  get blocksInUse(): number {
    let inUse = 0;
    for (const [index, free] of this.#free.entries())
      inUse += free.length - (this.#freeCount[index] as number);
    return inUse;
  }
}
