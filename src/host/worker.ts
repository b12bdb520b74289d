import { constants } from 'node:os';
import { Count } from '../boundary/counters.ts';
import type { Grants } from '../boundary/grants.ts';
import { CallKind, type CallKindName } from '../boundary/kinds.ts';
import { ARENA_BYTES, channelLayout } from '../boundary/layout.ts';
import { Request, SubmissionReader } from '../boundary/ring.ts';
import { WaitPolicy } from '../boundary/waiting.ts';
import { RING_ENTRIES } from '../limits.ts';
import { addToEpoll, closeDescriptor, drainEvent, EPOLLIN, yieldProcessor } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { createUringCalls, type Engine } from './engine.ts';
import { Executor, type Handler } from './executor.ts';
import type { Journal, TakenCall } from './journal.ts';
import { closeMounts, openMounts } from './mounts.ts';
import { Pool } from './pool.ts';
import { restoreHandles } from './restore.ts';
import { RingSink } from './ring-sink.ts';
import type { UringCalls } from './uring-calls.ts';

const { EIO } = constants.errno;

/** Submissions served before events are looked at. */
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
  /** What the workers of this channel hand on from one to the next. */
  readonly journal: Journal;
  readonly engine: Engine;
  /** For the io_uring of the engine, kept by another thread: see {@link UringCalls}. */
  readonly uringMemory: SharedArrayBuffer;
}

/**
 * Serves one channel until it is told to stop: takes submissions, executes them, sleeps when there are none. It
 * goes on where the worker before it died, if one did.
 */
export class Worker {
  readonly #reader: SubmissionReader;
  readonly #sink: RingSink;
  readonly #executor: Executor;
  readonly #pool: Pool;
  /** Submissions served since events were last looked at. */
  #sinceLook = 0;
  readonly #uring: UringCalls | undefined;
  readonly #policy: WaitPolicy;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #parkedWord: number;
  readonly #stop: Int32Array<SharedArrayBuffer>;
  readonly #request = new Request();
  readonly #journal: Journal;

  constructor(options: WorkerOptions) {
    const { boundary, hostBell, enclaveBell, grants, handlers, journal } = options;
    this.#journal = journal;
    const layout = channelLayout(options.channel);
    this.#words = new Int32Array(boundary.buffer);
    this.#reader = new SubmissionReader({
      words: this.#words,
      entries: layout.submissionRing,
      size: RING_ENTRIES,
      taken: layout.submissionsTaken,
      start: journal.submissionsTaken,
    });
    this.#sink = new RingSink(boundary, layout, enclaveBell, journal);
    const mounts = openMounts(grants.files, options.directories);
    const arena = boundary.address + layout.arena;
    this.#executor = new Executor(handlers, grants, arena, ARENA_BYTES, this.#sink, mounts, journal);
    this.#pool = new Pool(this.#executor);
    this.#uring = createUringCalls(options.engine, this.#executor, options.uringMemory, this.#pool);
    this.#executor.blocking = this.#uring ?? this.#pool;
    this.#policy = new WaitPolicy(options.spins);
    this.#parkedWord = layout.hostParked >> 2;
    this.#stop = options.stop;
    check(addToEpoll(this.#executor.epoll, hostBell, EPOLLIN), 'epoll_ctl');
    this.#executor.watch(hostBell, { onEvents: () => drainEvent(hostBell) });
    Atomics.store(this.#words, this.#parkedWord, 0);
    this.#takeOver();
  }

  /**
   * Goes on where the worker before this one died. Its handles stay; calls that only waited are served from the
   * start; the others that it had taken fail, because nobody knows how far it got with them.
   */
  #takeOver(): void {
    const journal = this.#journal;
    journal.closeOwn();
    const { epoll, mounts } = this.#executor;
    journal.serve([epoll, this.#pool.bell, ...mounts.map(({ descriptor }) => descriptor)]);
    restoreHandles(this.#executor, journal);
    if (this.#reader.waiting()) journal.untake(this.#reader.nextId);
    const calls = journal.inFlight();
    for (const call of calls) {
      if (call.kind === CallKind.close) this.#executor.closeHandle(call.handle);
      if (call.descriptor >= 0) closeDescriptor(call.descriptor);
      if (!isServedAgain(call)) this.#sink.complete(call.id, -EIO, 0, 0);
    }
    for (const call of calls.filter(isServedAgain)) this.#serveAgain(call);
  }

  #serveAgain(call: TakenCall): void {
    const { id, kind, handle, payload, length, deadline } = call;
    const left = deadline - performance.timeOrigin - performance.now();
    const timeout = deadline < 0 ? -1 : Math.max(0, Math.ceil(left));
    this.#journal.setWaits(id, false);
    this.#executor.execute(Object.assign(new Request(), { id, kind, handle, payload, length, timeout }));
  }

  async run(): Promise<void> {
    while (Atomics.load(this.#stop, 0) === 0) {
      const served = this.#serve();
      if (this.#pool.wantsTurn) await new Promise((resolve) => setImmediate(resolve));
      else if (served === 0) this.#waitForWork();
    }
    this.#executor.closeAll();
    this.#uring?.close(this.#executor);
    await this.#pool.close(this.#executor);
    closeMounts(this.#executor.mounts);
    this.#journal.end();
    this.#sink.flush();
    this.#sink.wake();
  }

  /** Serves what is there and says how much it was. */
  #serve(): number {
    if (this.#sink.overflowing) this.#sink.flush();
    const request = this.#request;
    let served = 0;
    // An enclave that takes no answers is given none: what waits here stays within what is in flight.
    while (served < BATCH && !this.#sink.overflowing && this.#reader.read(request)) {
      served++;
      const taken = this.#reader.taken;
      this.#journal.take(request, taken);
      this.#journal.counters.begin(request.id, request.kind, (taken - this.#sink.written) | 0);
      this.#journal.trace?.begin(request.id);
      this.#executor.execute(request);
    }
    if (served > 0) this.#executor.blocking.submit();
    // However fast calls come, those that wait for a socket get their turn.
    this.#sinceLook += served;
    if (this.#sinceLook >= BATCH) {
      this.#sinceLook = 0;
      if (this.#executor.pendingCount > 0) this.#executor.poll(0);
    }
    return served;
  }

  /** Polls the ring, and epoll beside it, for as long as work is likely to come; then sleeps. */
  #waitForWork(): void {
    if (this.#poll(this.#policy.pollsWithoutPause)) return;
    this.#journal.counters.add(Count.spins);
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
      if (this.#sink.overflowing ? this.#sink.hasRoom() : this.#reader.waiting()) return true;
      if (count % POLLS_A_LOOK === 0 && this.#executor.pendingCount > 0 && this.#executor.poll(0) > 0)
        return true;
    }
    return false;
  }

  /** Each sleep has a number of its own, never zero, so that the enclave ends it once. */
  #sleep(): void {
    const sleeps = (this.#journal.sleeps & 0x3fff_ffff) + 1;
    this.#journal.sleep(sleeps);
    this.#reader.acknowledge();
    Atomics.store(this.#words, this.#parkedWord, sleeps);
    if ((this.#sink.overflowing || !this.#reader.waiting()) && Atomics.load(this.#stop, 0) === 0) {
      this.#journal.counters.add(Count.parks);
      this.#executor.poll(this.#sink.overflowing ? OVERFLOW_MILLISECONDS : -1);
    }
    Atomics.store(this.#words, this.#parkedWord, 0);
  }
}

/** Kinds that wait for a socket without having done anything, and of which the journal has all that they ask. */
const servedAgain: ReadonlySet<number> = new Set([
  CallKind.accept,
  CallKind.receive,
  CallKind.send,
  CallKind.receiveFrom,
  CallKind.sendTo,
  CallKind.poll,
]);

function isServedAgain({ kind, waits }: TakenCall): boolean {
  return waits && servedAgain.has(kind);
}
