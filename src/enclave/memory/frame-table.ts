import { type Layout, Word } from './layout.ts';

/** Marks of a frame. */
export const Mark = {
  none: 0,
  /** Differs from what the store has. */
  dirty: 1,
  /** Brought in ahead of need, and not used yet. */
  ahead: 2,
  /** To be sealed by sub-pages, so that sparse reads need not open all of it. */
  sparse: 4,
} as const;

/**
 * Which page is in which frame (Eleos' inverse page table), and the frames that are free, or parked because the cache is
 * to be smaller. A page is found by its hash; frames of one bucket, and those of each list, are linked by `next`.
 */
export class FrameTable {
  readonly #layout: Layout;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #pageOf: Int32Array<ArrayBuffer>;
  readonly #pins: Int32Array<ArrayBuffer>;
  readonly #next: Int32Array<ArrayBuffer>;
  readonly #buckets: Int32Array<ArrayBuffer>;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.#words = layout.words;
    this.#pageOf = layout.pageOf;
    this.#pins = layout.pins;
    this.#next = layout.next;
    this.#buckets = layout.buckets;
  }

  /** All frames parked, none with a page. The tables are zero. */
  format(): void {
    this.#pageOf.fill(-1);
    this.#words[Word.firstFree] = -1;
    this.#words[Word.firstParked] = -1;
    for (let frame = this.#layout.frames - 1; frame >= 0; frame--) this.#push(Word.firstParked, frame);
  }

  /** Frames that are not parked. */
  get limit(): number {
    return this.#words[Word.limit]!;
  }

  get free(): number {
    return this.#words[Word.freeFrames]!;
  }

  /** The frame of a page, or -1. */
  find(page: number): number {
    let frame = this.#buckets[this.#bucketOf(page)]! - 1;
    while (frame >= 0 && this.#pageOf[frame] !== page) frame = this.#next[frame]!;
    return frame;
  }

  /** Gives a frame to a page. The frame of its table page, or -1, is pinned as long as it stays. */
  install(frame: number, page: number, table: number): void {
    const bucket = this.#bucketOf(page);
    this.#pageOf[frame] = page;
    this.#next[frame] = this.#buckets[bucket]! - 1;
    this.#buckets[bucket] = frame + 1;
    this.#layout.tableOf[frame] = table;
    if (table >= 0) this.#pins[table]! += 1;
  }

  /** Frees the frame of a page, whatever is in it. */
  drop(frame: number): void {
    const bucket = this.#bucketOf(this.#pageOf[frame]!);
    let before = this.#buckets[bucket]! - 1;
    if (before === frame) {
      this.#buckets[bucket] = this.#next[frame]! + 1;
    } else {
      while (this.#next[before] !== frame) before = this.#next[before]!;
      this.#next[before] = this.#next[frame]!;
    }
    const table = this.#layout.tableOf[frame]!;
    if (table >= 0) this.#pins[table]! -= 1;
    this.put(frame);
  }

  /** A free frame, or -1. */
  take(): number {
    const frame = this.#words[Word.firstFree]!;
    if (frame < 0) return -1;
    this.#words[Word.firstFree] = this.#next[frame]!;
    this.#words[Word.freeFrames]! -= 1;
    return frame;
  }

  put(frame: number): void {
    this.#push(Word.firstFree, frame);
    this.#words[Word.freeFrames]! += 1;
  }

  park(frame: number): void {
    this.#push(Word.firstParked, frame);
    this.#words[Word.limit]! -= 1;
  }

  /** Brings parked frames back until there are so many. */
  unpark(frames: number): void {
    while (this.#words[Word.limit]! < frames) {
      const frame = this.#words[Word.firstParked]!;
      this.#words[Word.firstParked] = this.#next[frame]!;
      this.#words[Word.limit]! += 1;
      this.put(frame);
    }
  }

  #push(list: typeof Word.firstFree | typeof Word.firstParked, frame: number): void {
    this.#pageOf[frame] = -1;
    this.#layout.marks[frame] = Mark.none;
    this.#next[frame] = this.#words[list]!;
    this.#words[list] = frame;
  }

  #bucketOf(page: number): number {
    return (Math.imul(page, 0x9e3779b1) >>> 8) & (this.#buckets.length - 1);
  }
}
