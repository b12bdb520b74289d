import { Worker } from 'node:worker_threads';

/** What a {@link Mutator}'s thread is told. */
export interface Mutations {
  readonly buffer: SharedArrayBuffer;
  /** Byte offsets of the words to write, again and again. */
  readonly offsets: readonly number[];
  /** What to write into each in turn. */
  readonly values: readonly number[];
  /** Not zero: end. The second word counts the rounds. */
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

  /** Rounds that the thread has made. */
  get rounds(): number {
    return Atomics.load(this.#control, 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const end = new Promise((resolve) => this.#worker.once('exit', resolve));
    Atomics.store(this.#control, 0, 1);
    await end;
  }
}
