import TinyQueue from 'tinyqueue';
import { DEADLINES_KEPT_MIN } from '../limits.ts';

interface Entry<T> {
  readonly at: number;
  readonly value: T;
}

/**
 * What is due when. Most calls are answered long before they are late: their entries are not searched for but
 * dropped when they come to the front, or all at once when they may have become half of what is kept.
 */
export class Deadlines<T> {
  readonly #matters: (value: T) => boolean;
  #queue = new TinyQueue<Entry<T>>([], earlier);
  #purgeAt = DEADLINES_KEPT_MIN;

  /** `matters` says whether an entry is still waited for. */
  constructor(matters: (value: T) => boolean) {
    this.#matters = matters;
  }

  add(value: T, milliseconds: number): void {
    if (this.#queue.length >= this.#purgeAt) this.#purge();
    this.#queue.push({ at: performance.now() + milliseconds, value });
  }

  /** Entries that are kept, those included that do not matter any more. */
  get length(): number {
    return this.#queue.length;
  }

  #purge(): void {
    const kept = this.#queue.data.filter(({ value }) => this.#matters(value));
    this.#queue = new TinyQueue(kept, earlier);
    this.#purgeAt = Math.max(DEADLINES_KEPT_MIN, 2 * kept.length);
  }

  #next(): Entry<T> | undefined {
    let next = this.#queue.peek();
    while (next !== undefined && !this.#matters(next.value)) {
      this.#queue.pop();
      next = this.#queue.peek();
    }
    return next;
  }

  /** The given time to sleep (-1: without end), cut to the next deadline and rounded up. */
  clamp(milliseconds: number): number {
    if (milliseconds === 0) return 0;
    const next = this.#next();
    if (next === undefined) return milliseconds;
    const left = Math.max(0, Math.ceil(next.at - performance.now()));
    return milliseconds < 0 ? left : Math.min(milliseconds, left);
  }

  /** The next one that matters and whose time has come. */
  takeLate(): T | undefined {
    const next = this.#next();
    if (next === undefined || next.at > performance.now()) return undefined;
    this.#queue.pop();
    return next.value;
  }
}

function earlier<T>(a: Entry<T>, b: Entry<T>): number {
  return a.at - b.at;
}
