import TinyQueue from 'tinyqueue';

interface Entry<T> {
  readonly at: number;
  readonly value: T;
}

/** So few entries are never worth going through. */
const SWEEP_AT_LEAST = 1024;

/**
 * What is due when. An entry stays until it is due; who takes it asks whether it still matters. Those that no
 * longer do are swept out whenever as many again have come, so that their number follows that of the live ones.
 */
export class Deadlines<T> {
  readonly #matters: (value: T) => boolean;
  #queue = queueOf<T>([]);
  #sweepAt = SWEEP_AT_LEAST;

  constructor(matters: (value: T) => boolean) {
    this.#matters = matters;
  }

  add(value: T, milliseconds: number): void {
    this.#queue.push({ at: performance.now() + milliseconds, value });
    if (this.#queue.length > this.#sweepAt) this.#sweep();
  }

  #sweep(): void {
    this.#queue = queueOf(this.#queue.data.filter(({ value }) => this.#matters(value)));
    this.#sweepAt = Math.max(SWEEP_AT_LEAST, 2 * this.#queue.length);
  }

  /** Entries that are kept, live or not. */
  get size(): number {
    return this.#queue.length;
  }

  /** The given time to sleep (-1: without end), cut to the next deadline and rounded up. */
  clamp(milliseconds: number): number {
    const next = this.#queue.peek();
    if (next === undefined || milliseconds === 0) return milliseconds;
    const left = Math.max(0, Math.ceil(next.at - performance.now()));
    return milliseconds < 0 ? left : Math.min(milliseconds, left);
  }

  /** The next entry whose time has come. */
  takeLate(): T | undefined {
    const next = this.#queue.peek();
    if (next === undefined || next.at > performance.now()) return undefined;
    this.#queue.pop();
    return next.value;
  }
}

function queueOf<T>(entries: Entry<T>[]): TinyQueue<Entry<T>> {
  return new TinyQueue(entries, (a, b) => a.at - b.at);
}
