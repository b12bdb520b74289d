import { availableParallelism } from 'node:os';
import { type EnclaveError, InvalidArgumentError } from '../errors.ts';
import { THREADS_MAX } from '../limits.ts';
import {
  addToEpoll,
  closeDescriptor,
  createEpoll,
  createEvents,
  EPOLLIN,
  signalEvent,
} from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import type { CallTrace } from './call-trace.ts';
import type { ServedChannel, ServingOptions } from './channel-server.ts';
import type { ServiceModule } from './custom-services.ts';
import { Journal } from './journal.ts';
import { type EndsBeforeExit, endBeforeExit, forgetEnded } from './process-exit.ts';
import { createUringMemory, releaseUringMemory } from './uring-calls.ts';
import type { WorkerRequest } from './worker.ts';
import { WorkerControl } from './worker-control.ts';
import { WorkerThread } from './worker-thread.ts';

export interface WorkersOptions extends ServingOptions {
  /** The boundary. */
  readonly buffer: SharedArrayBuffer;
  /** The bells of each channel: of its worker, and of its enclave thread. */
  readonly bells: readonly { readonly hostBell: number; readonly enclaveBell: number }[];
  /** Whether to poll before sleeping. */
  readonly spins: boolean;
  readonly services: ServiceModule | undefined;
  readonly trace: CallTrace | undefined;
  /** At most so many threads; half of the cores unless told. */
  readonly limit: number | undefined;
}

/** Refuses a number of workers that cannot be. */
export function checkWorkers(workers: number | undefined): void {
  if (workers === undefined || (Number.isInteger(workers) && workers >= 1 && workers <= THREADS_MAX)) return;
  throw new InvalidArgumentError(`workers is a whole number from 1 to ${THREADS_MAX}, not ${workers}`);
}

/**
 * The threads that serve the channels of one enclave: one at first, another whenever one has more to do than it
 * should, up to a limit; one that has had nothing to do for a while leaves its channels to the first and ends.
 *
 * Services of the host's own may keep what only their thread knows: with them, each channel has a thread of its
 * own, and stays there.
 */
export class Workers implements EndsBeforeExit {
  readonly journals: readonly Journal[];
  readonly #channels: readonly ServedChannel[];
  readonly #threads: readonly WorkerThread[];
  readonly #control: WorkerControl;
  readonly #bells: readonly number[];
  /** What each worker sleeps on: kept here, because a worker that dies closes nothing. */
  readonly #epolls: readonly number[];
  readonly #moves: boolean;
  readonly #onFailure: (error: EnclaveError) => void;

  /** `onFailure` is told when a worker died and no other will follow. */
  constructor(options: WorkersOptions, onFailure: (error: EnclaveError) => void) {
    const { bells, trace, limit, ...rest } = options;
    this.#onFailure = onFailure;
    this.journals = bells.map(() => new Journal());
    this.#channels = bells.map((pair, channel) => ({
      ...pair,
      channel,
      journal: (this.journals[channel] as Journal).buffer,
      uringMemory: createUringMemory(),
      trace: trace?.addWorker(),
    }));
    this.#moves = options.services === undefined;
    const most = this.#moves ? (limit ?? Math.max(1, availableParallelism() >> 1)) : bells.length;
    const count = Math.min(most, bells.length);
    this.#control = new WorkerControl(bells.length);
    this.#bells = createEvents(count);
    this.#epolls = createEpollsOf(this.#bells);
    const { buffer: control } = this.#control;
    const settings = { ...rest, channels: this.#channels, control, bells: this.#bells };
    this.#threads = this.#epolls.map((epoll, worker) => this.#createThread({ ...settings, worker, epoll }));
    if (!this.#moves) for (const { channel } of this.#channels) this.#control.want(channel, channel);
    endBeforeExit(this);
    for (const thread of this.#moves ? this.#threads.slice(0, 1) : this.#threads) thread.start();
  }

  #createThread(settings: ConstructorParameters<typeof WorkerThread>[0]): WorkerThread {
    const { worker } = settings;
    return new WorkerThread(settings, {
      onStart: () => this.#control.setAlive(worker, true),
      onRequest: (request) => this.#onRequest(worker, request),
      onDeath: () => this.#release(worker),
      hasServed: () => this.#control.wantedOf(worker).some((channel) => this.journals[channel]?.served),
      onFailure: (error) => this.#onFailure(error),
      onEnd: () => this.#onEnd(worker),
    });
  }

  /** The threads that there are now. */
  get running(): number {
    return this.#threads.filter((thread) => thread.isRunning).length;
  }

  get deaths(): number {
    return this.#threads.reduce((sum, { deaths }) => sum + deaths, 0);
  }

  #onRequest(worker: number, request: WorkerRequest): void {
    if (!this.#moves || this.#control.stopped) return;
    if (request.kind === 'crowded') this.#relieve(worker, request.channel);
    else for (const channel of this.#control.wantedOf(worker)) this.#move(channel, 0);
  }

  /** Gives a channel of a crowded worker to one that does not run yet, or else to one with fewer channels. */
  #relieve(worker: number, channel: number): void {
    if (this.#control.wanted(channel) !== worker || !this.#control.isSettled(channel)) return;
    const loads = this.#bells.map((_, index) => this.#control.wantedOf(index).length);
    const least = Math.min(...loads);
    if (least + 1 < (loads[worker] as number)) this.#move(channel, loads.indexOf(least));
  }

  #move(channel: number, to: number): void {
    const from = this.#control.server(channel);
    this.#control.want(channel, to);
    const thread = this.#threads[to] as WorkerThread;
    if (!thread.isRunning) thread.start();
    for (const worker of [from, to]) if (worker >= 0) signalEvent(this.#bells[worker] as number);
  }

  /** Takes from a worker that died what it served. */
  #release(worker: number): void {
    this.#control.setAlive(worker, false);
    for (const channel of this.#control.servedBy(worker)) {
      releaseUringMemory((this.#channels[channel] as ServedChannel).uringMemory);
      this.#control.leave(channel);
    }
    for (const bell of this.#bells) signalEvent(bell);
  }

  /** A worker that was on its way to its end may have been given a channel meanwhile. */
  #onEnd(worker: number): void {
    this.#release(worker);
    if (!this.#control.stopped && this.#control.wantedOf(worker).length > 0) this.#threads[worker]?.start();
  }

  askToEnd(): void {
    this.#control.stop();
    for (const thread of this.#threads) thread.expectEnd();
    for (const bell of this.#bells) signalEvent(bell);
  }

  waitUntilEnded(until: number): void {
    for (const worker of this.#threads.keys()) {
      this.#control.waitForEnd(worker, Math.max(0, until - performance.now()));
    }
  }

  /** Ends every thread; resolves when all have, and every descriptor is closed. */
  async end(): Promise<void> {
    this.askToEnd();
    await Promise.all(this.#threads.map(({ ended }) => ended));
    forgetEnded(this);
    for (const journal of this.journals) journal.closeDescriptors();
    for (const descriptor of [...this.#bells, ...this.#epolls]) closeDescriptor(descriptor);
  }
}

/** Watches each bell; when the system has no more descriptors, the bells are closed as well. */
function createEpollsOf(bells: readonly number[]): number[] {
  const epolls: number[] = [];
  try {
    for (const bell of bells) epolls.push(createEpollOf(bell));
  } catch (error) {
    for (const descriptor of [...bells, ...epolls]) closeDescriptor(descriptor);
    throw error;
  }
  return epolls;
}

/** Watches a bell. */
export function createEpollOf(bell: number): number {
  const epoll = check(createEpoll(), 'epoll_create1');
  check(addToEpoll(epoll, bell, EPOLLIN), 'epoll_ctl');
  return epoll;
}
