import type { Grants } from '../boundary/grants.ts';
import type { CallKindName } from '../boundary/kinds.ts';
import { ARENA_BYTES, channelLayout } from '../boundary/layout.ts';
import { Request, SubmissionReader } from '../boundary/ring.ts';
import { WaitPolicy } from '../boundary/waiting.ts';
import { RING_ENTRIES } from '../limits.ts';
import { addToEpoll, drainEvent, EPOLLIN, yieldProcessor } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { Executor, type Handler } from './executor.ts';
import { closeMounts, openMounts } from './mounts.ts';
import { Pool } from './pool.ts';
import { RingSink } from './ring-sink.ts';

/** Submissions served in a row before events are looked at. */
const BATCH = 64;
/** Polls of the ring between two looks at epoll while calls wait there: a look costs as much as some ten polls. */
const POLLS_A_LOOK = 32;
/** How long to sleep while answers wait for room in the ring, in milliseconds. */
const OVERFLOW_MILLISECONDS = 1;

export interface WorkerOptions {
  readonly boundary: SharedMapping;
  readonly channel: number;
  /** Wakes this worker. */
  readonly hostBell: number;
  /** Wakes the enclave thread's event loop. */
  readonly enclaveBell: number;
  readonly grants: Grants;
  /** The directory of the host for each grant of files. */
  readonly directories: readonly string[];
  readonly handlers: Readonly<Partial<Record<CallKindName, Handler>>>;
  /** Whether to poll before sleeping. */
  readonly spins: boolean;
  /** A word that is not zero once the worker is to end; whoever sets it rings `hostBell`. */
  readonly stop: Int32Array<SharedArrayBuffer>;
}

/** Serves one channel until it is told to stop: takes submissions, executes them, sleeps when there are none. */
export class Worker {
  readonly #reader: SubmissionReader;
  readonly #sink: RingSink;
  readonly #executor: Executor;
  readonly #pool: Pool;
  readonly #policy: WaitPolicy;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #parkedWord: number;
  readonly #stop: Int32Array<SharedArrayBuffer>;
  readonly #request = new Request();
  #sleeps = 0;
  /** How often this worker slept. */
  parks = 0;

  constructor(options: WorkerOptions) {
    const { boundary, hostBell, enclaveBell, grants, handlers } = options;
    const layout = channelLayout(options.channel);
    this.#words = new Int32Array(boundary.buffer);
    this.#reader = new SubmissionReader({
      words: this.#words,
      entries: layout.submissionRing,
      size: RING_ENTRIES,
      taken: layout.submissionsTaken,
    });
    this.#sink = new RingSink(boundary, layout, enclaveBell, 0);
    const mounts = openMounts(grants.files, options.directories);
    const arena = boundary.address + layout.arena;
    this.#executor = new Executor(handlers, grants, arena, ARENA_BYTES, this.#sink, mounts);
    this.#pool = new Pool(this.#executor);
    this.#executor.blocking = this.#pool;
    this.#policy = new WaitPolicy(options.spins);
    this.#parkedWord = layout.hostParked >> 2;
    this.#stop = options.stop;
    check(addToEpoll(this.#executor.epoll, hostBell, EPOLLIN), 'epoll_ctl');
    this.#executor.watch(hostBell, { onEvents: () => drainEvent(hostBell) });
  }

  async run(): Promise<void> {
    while (Atomics.load(this.#stop, 0) === 0) {
      if (this.#serve() > 0) continue;
      if (this.#pool.wantsTurn) await new Promise((resolve) => setImmediate(resolve));
      else this.#waitForWork();
    }
    this.#executor.closeAll();
    await this.#pool.close(this.#executor);
    closeMounts(this.#executor.mounts);
    this.#sink.flush();
    this.#sink.wake();
  }

  /** Serves what is there and says how much it was. */
  #serve(): number {
    const request = this.#request;
    let served = 0;
    while (served < BATCH && this.#reader.read(request)) {
      served++;
      this.#executor.execute(request);
    }
    if (this.#sink.overflowing) this.#sink.flush();
    if (served === BATCH && this.#executor.pendingCount > 0) this.#executor.poll(0);
    return served;
  }

  /** Polls the ring, and epoll beside it, for as long as work is likely to come; then sleeps. */
  #waitForWork(): void {
    if (this.#poll(this.#policy.pollsWithoutPause)) return;
    const began = performance.now();
    const until = began + this.#policy.spinMicroseconds / 1000;
    while (performance.now() < until) {
      yieldProcessor();
      if (this.#poll(POLLS_A_LOOK)) {
        this.#policy.record((performance.now() - began) * 1000);
        return;
      }
    }
    this.#sleep();
    this.#policy.record((performance.now() - began) * 1000);
  }

  /** True when a submission or an event came within that many polls. */
  #poll(polls: number): boolean {
    for (let count = 1; count <= polls; count++) {
      if (this.#reader.waiting()) return true;
      if (count % POLLS_A_LOOK === 0 && this.#executor.pendingCount > 0 && this.#executor.poll(0) > 0)
        return true;
    }
    return false;
  }

  /** Each sleep has a number of its own, never zero, so that the enclave ends it once. */
  #sleep(): void {
    this.#sleeps = (this.#sleeps & 0x3fff_ffff) + 1;
    this.#reader.acknowledge();
    Atomics.store(this.#words, this.#parkedWord, this.#sleeps);
    if (!this.#reader.waiting() && Atomics.load(this.#stop, 0) === 0) {
      this.parks++;
      this.#executor.poll(this.#sink.overflowing ? OVERFLOW_MILLISECONDS : -1);
    }
    Atomics.store(this.#words, this.#parkedWord, 0);
  }
}
