import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** What a {@link Mutator}'s thread is told. */
export interface Mutations {
  readonly buffer: SharedArrayBuffer;
  /** Byte offsets of the words to write, again and again. */
  readonly offsets: readonly number[];
  /** What to write into each in turn. */
  readonly values: readonly number[];
  /** The first word, not zero: end. The second, not zero: it has begun. */
  readonly control: Int32Array<SharedArrayBuffer>;
}

/** A thread that writes chosen words of shared memory as fast as it can, until it is disposed of. */
export class Mutator implements AsyncDisposable {
  readonly #control = new Int32Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;

  constructor(buffer: SharedArrayBuffer, offsets: readonly number[], values: readonly number[]) {
    const workerData: Mutations = { buffer, offsets, values, control: this.#control };
    this.#worker = new Worker(new URL('./mutator-thread.js', import.meta.url), { workerData });
    this.#worker.unref();
  }

  /** Resolves once the thread writes. */
  async begun(): Promise<void> {
    while (Atomics.load(this.#control, 1) === 0) await setImmediate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#worker.ref();
    const end = new Promise((resolve) => this.#worker.once('exit', resolve));
    Atomics.store(this.#control, 0, 1);
    await end;
  }
}
