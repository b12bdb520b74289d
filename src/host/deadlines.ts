import TinyQueue from 'tinyqueue';

interface Entry<T> {
  readonly at: number;
  readonly value: T;
}

/** What is due when. An entry stays until it is due; who takes it asks whether it still matters. */
export class Deadlines<T> {
  readonly #queue = new TinyQueue<Entry<T>>([], (a, b) => a.at - b.at);

  add(value: T, milliseconds: number): void {
    this.#queue.push({ at: performance.now() + milliseconds, value });
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
