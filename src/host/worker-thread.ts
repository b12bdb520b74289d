import { Worker } from 'node:worker_threads';
import { EnclaveError } from '../errors.ts';
import { WORKER_DEATHS_MAX, WORKER_DEATHS_SECONDS } from '../limits.ts';
import { diagnostics } from './diagnostics.ts';
import { releaseSpinnerSlot, spinnersBuffer, takeSpinnerSlot } from './spinners.ts';
import { WORKER_ENDED, type WorkerMessage, type WorkerRequest } from './worker.ts';
import type { WorkerData } from './worker-main.ts';

/** What one worker is started with, but for what its thread gets anew each time. */
export type WorkerSettings = Omit<WorkerData, 'spinners' | 'spinnerSlot'>;

/** Told of what happens to a worker. */
export interface WorkerWatch {
  /** A thread is about to be started. */
  onStart(): void;
  onRequest(request: WorkerRequest): void;
  /** Its thread died, whatever the cause; true when another is to follow. */
  onDeath(): void;
  /** Whether the thread that died had begun to serve. */
  hasServed(): boolean;
  /** No other thread will follow. */
  onFailure(error: EnclaveError): void;
  /** Its thread ended as it was told, or having nothing left to serve. */
  onEnd(): void;
}

/**
 * Keeps a thread that serves channels. One that dies, of an error of its own or because it was terminated, is
 * followed by another that goes on from the journals, unless deaths come so fast that they are no accident.
 */
export class WorkerThread {
  readonly #settings: WorkerSettings;
  readonly #watch: WorkerWatch;
  readonly #recentDeaths: number[] = [];
  #ending = false;
  /** It keeps the process alive only while its end is waited for. */
  #thread: Worker | undefined;
  /** Settles when the last thread has ended. */
  ended: Promise<void> = Promise.resolve();
  #onEnded: () => void = () => {};
  deaths = 0;

  constructor(settings: WorkerSettings, watch: WorkerWatch) {
    this.#settings = settings;
    this.#watch = watch;
  }

  get isRunning(): boolean {
    return this.#thread !== undefined;
  }

  /** Starts the thread; it must not be running. */
  start(): void {
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    this.#start();
  }

  /** Says that the thread was told to end: it has no successor. */
  expectEnd(): void {
    this.#ending = true;
    this.#thread?.ref();
  }

  #start(): void {
    this.#watch.onStart();
    const spinnerSlot = takeSpinnerSlot();
    const workerData: WorkerData = { ...this.#settings, spinners: spinnersBuffer(), spinnerSlot };
    // What the host's own node was told to run, `--input-type` and `--eval` say, is none of a worker's.
    const thread = new Worker(new URL('./worker-main.js', import.meta.url), { workerData, execArgv: [] });
    thread.unref();
    this.#thread = thread;
    let cause: unknown;
    thread.on('message', (message: WorkerMessage) => {
      if (message.kind === 'ready')
        diagnostics.workerReady.publish({ worker: this.#settings.worker, thread });
      else this.#watch.onRequest(message);
    });
    thread.once('error', (error) => {
      cause = error;
    });
    thread.once('exit', (code) => {
      releaseSpinnerSlot(spinnerSlot);
      this.#thread = undefined;
      if (this.#ending || code === WORKER_ENDED) this.#end();
      else this.#mourn(cause);
    });
    diagnostics.workerStart.publish({ worker: this.#settings.worker, deaths: this.deaths, thread });
  }

  #mourn(cause: unknown): void {
    this.deaths++;
    diagnostics.workerDeath.publish({ worker: this.#settings.worker, cause });
    const reason = this.#whyNoOther(cause);
    this.#watch.onDeath();
    if (reason === undefined) return this.#start();
    this.#ending = true;
    this.#watch.onFailure(new EnclaveError('SGXIO_WORKER_FAILED', reason, { cause }));
    this.#onEnded();
  }

  #whyNoOther(cause: unknown): string | undefined {
    if (!this.#watch.hasServed()) {
      return `a host worker died before it could serve a call${cause === undefined ? '' : `: ${cause}`}`;
    }
    const now = performance.now();
    const deaths = this.#recentDeaths;
    deaths.push(now);
    if (deaths.length <= WORKER_DEATHS_MAX) return undefined;
    const oldest = deaths.shift() as number;
    if (now - oldest > WORKER_DEATHS_SECONDS * 1000) return undefined;
    return `host workers died ${WORKER_DEATHS_MAX + 1} times within ${WORKER_DEATHS_SECONDS} seconds`;
  }

  #end(): void {
    diagnostics.workerExit.publish({ worker: this.#settings.worker });
    this.#onEnded();
    this.#watch.onEnd();
  }
}
