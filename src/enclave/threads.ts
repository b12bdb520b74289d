import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Boot } from '../boundary/boot.ts';
import type { WrittenGrants } from '../boundary/grants.ts';
import { EnclaveError } from '../errors.ts';
import type { SlotMemories } from './protected/granted.ts';
import type { SharedStore } from './shared-store.ts';

/** What each thread of the enclave's process starts from. */
export interface ThreadSeed {
  readonly boot: Boot;
  readonly thread: number;
  readonly boundary: SharedArrayBuffer;
  readonly code: string;
  readonly grants: WrittenGrants;
  readonly input: Readonly<Record<string, string>>;
  readonly privateMemory: {
    readonly address: number;
    readonly bytes: number;
    readonly books: SharedArrayBuffer;
  };
  readonly store: SharedStore;
  readonly slotMemories: SlotMemories;
  /** A word that opens when the process is locked down. */
  readonly gate: SharedArrayBuffer;
}

/** What a thread tells the first one on its way. */
export const ThreadMessage = { loaded: 'loaded', serving: 'serving' } as const;

/**
 * The threads of the enclave beside the first. They are started before lock-down, after which no thread can be,
 * and load the program after it.
 */
export class Threads {
  readonly #workers: Worker[] = [];
  readonly #gate: Int32Array<SharedArrayBuffer>;

  /** `onExit` is told of a thread that ended, however it did. */
  constructor(
    seeds: readonly (ThreadSeed & { readonly program: URL })[],
    gate: SharedArrayBuffer,
    onExit: (thread: number) => void,
  ) {
    this.#gate = new Int32Array(gate);
    for (const { program, ...seed } of seeds) {
      const worker = new Worker(program, { workerData: seed, env: {} });
      // Its error has been told by the thread itself, or is a death without words: the exit tells.
      worker.on('error', () => {});
      worker.on('exit', () => onExit(seed.thread));
      this.#workers.push(worker);
    }
  }

  /** Resolves when every thread has loaded all that it needs of the system. */
  async loaded(): Promise<void> {
    await this.#all(ThreadMessage.loaded);
  }

  /** Lets the threads load the program, and resolves when each can be launched on. */
  async serve(): Promise<void> {
    const serving = this.#all(ThreadMessage.serving);
    Atomics.store(this.#gate, 0, 1);
    Atomics.notify(this.#gate, 0);
    await serving;
  }

  async #all(expected: string): Promise<void> {
    await Promise.all(this.#workers.map((worker) => message(worker, expected)));
  }
}

async function message(worker: Worker, expected: string): Promise<void> {
  const ended = new AbortController();
  const exit = once(worker, 'exit', { signal: ended.signal }).then(
    () => 'exit',
    () => 'ended',
  );
  const [first] = await Promise.race([once(worker, 'message'), exit.then((reason) => [reason])]);
  ended.abort();
  if (first !== expected)
    throw new EnclaveError('SGXIO_ENCLAVE_FAILED', 'a thread of the enclave did not start');
}
