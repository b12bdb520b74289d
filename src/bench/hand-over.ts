import { Worker } from 'node:worker_threads';
import { addressOf } from '../linux/ffi.ts';
import { copyMemory } from '../linux/memory.ts';

/** Words of the shared memory, on cache lines of their own, and where the bytes begin. */
export const ASKED = 0;
export const ANSWER = 32;
export const RUNS = 64;
export const BYTES_OFFSET = 4096;

/**
 * Bytes that one core copies into shared memory and another copies out of it, with nothing else on the way: no
 * system call, no ring, no check. Any answer that one core gets for another takes at least as long.
 */
export class HandOver {
  readonly #thread: Worker;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bytes: number;
  readonly #from: number;
  readonly #own: Uint8Array<ArrayBuffer>;
  #asked = 0;

  constructor(bytes: number) {
    const shared = new SharedArrayBuffer(BYTES_OFFSET + bytes);
    this.#bytes = bytes;
    this.#words = new Int32Array(shared);
    this.#from = addressOf(new Uint8Array(shared)) + BYTES_OFFSET;
    this.#own = new Uint8Array(bytes);
    const workerData = { shared, bytes };
    this.#thread = new Worker(new URL('./hand-over-main.js', import.meta.url), { workerData });
  }

  /** Milliseconds for so many hand-overs, one after the other. */
  sample(count: number): number {
    const to = addressOf(this.#own);
    Atomics.store(this.#words, RUNS, 1);
    Atomics.notify(this.#words, RUNS);
    const began = performance.now();
    for (let done = 0; done < count; done++) {
      Atomics.store(this.#words, ASKED, ++this.#asked);
      while (Atomics.load(this.#words, ANSWER) !== this.#asked);
      copyMemory(to, this.#from, this.#bytes);
    }
    const milliseconds = performance.now() - began;
    Atomics.store(this.#words, RUNS, 0);
    return milliseconds;
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }
}
