import { Worker } from 'node:worker_threads';
import { EnclaveError } from '../errors.ts';
import { WORKER_DEATHS_MAX, WORKER_DEATHS_SECONDS } from '../limits.ts';
import { diagnostics } from './diagnostics.ts';
import { Journal } from './journal.ts';
import { createUringMemory, releaseUringMemory } from './uring-calls.ts';
import type { WorkerData } from './worker-main.ts';

/** What one worker is started with, but for what outlives it. */
export type WorkerSettings = Omit<WorkerData, 'journal' | 'uringMemory'>;

/**
 * Keeps a thread that serves one channel. One that dies, of an error of its own or because it was terminated,
 * is followed by another that goes on from the journal, unless deaths come so fast that they are no accident.
 */
export class WorkerThread {
  readonly journal: Journal = new Journal();
  readonly #settings: WorkerSettings;
  readonly #onFailure: (error: EnclaveError) => void;
  readonly #recentDeaths: number[] = [];
  #ending = false;
  /** It keeps the process alive only while its end is waited for. */
  #thread: Worker | undefined;
  /** Settles when the last thread has ended and every descriptor is closed. */
  readonly ended: Promise<void>;
  #onEnded: () => void = () => {};
  deaths = 0;

  /** `onFailure` is told when no other thread will follow. */
  constructor(settings: WorkerSettings, onFailure: (error: EnclaveError) => void) {
    this.#settings = settings;
    this.#onFailure = onFailure;
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    this.#start();
  }

  /** Says that the threads were told to end: the next one to do so has no successor. */
  expectEnd(): void {
    this.#ending = true;
    this.#thread?.ref();
  }

  #start(): void {
    // Kept here until the thread has ended: the kernel may be using it until then.
    const uringMemory = createUringMemory();
    const workerData: WorkerData = { ...this.#settings, journal: this.journal.buffer, uringMemory };
    const thread = new Worker(new URL('./worker-main.js', import.meta.url), { workerData });
    thread.unref();
    this.#thread = thread;
    let cause: unknown;
    thread.once('error', (error) => {
      cause = error;
    });
    thread.once('exit', () => {
      releaseUringMemory(uringMemory);
      this.#onExit(cause);
    });
    diagnostics.workerStart.publish({ channel: this.#settings.channel, deaths: this.deaths, thread });
  }

  #onExit(cause: unknown): void {
    const { channel } = this.#settings;
    if (this.#ending) {
      diagnostics.workerExit.publish({ channel });
      return this.#end();
    }
    this.deaths++;
    diagnostics.workerDeath.publish({ channel, cause });
    const reason = this.#whyNoOther();
    if (reason === undefined) return this.#start();
    this.#onFailure(new EnclaveError('SGXIO_WORKER_FAILED', reason, { cause }));
    this.#end();
  }

  #whyNoOther(): string | undefined {
    if (!this.journal.served) return 'a host worker died before it could serve a call';
    const now = performance.now();
    const deaths = this.#recentDeaths;
    deaths.push(now);
    if (deaths.length <= WORKER_DEATHS_MAX) return undefined;
    const oldest = deaths.shift() as number;
    if (now - oldest > WORKER_DEATHS_SECONDS * 1000) return undefined;
    return `host workers died ${WORKER_DEATHS_MAX + 1} times within ${WORKER_DEATHS_SECONDS} seconds`;
  }

  #end(): void {
    this.#ending = true;
    this.journal.closeDescriptors();
    this.#onEnded();
  }
}
