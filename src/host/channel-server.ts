import { constants } from 'node:os';
import type { Count } from '../boundary/counters.ts';
import type { Grants } from '../boundary/grants.ts';
import { CallKind } from '../boundary/kinds.ts';
import { ARENA_BYTES, channelLayout } from '../boundary/layout.ts';
import { Request, SubmissionReader } from '../boundary/ring.ts';
import { RING_ENTRIES } from '../limits.ts';
import { addToEpoll, closeDescriptor, drainEvent, EPOLLIN } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import type { SharedMapping } from '../linux/memory.ts';
import type { Handlers } from './custom-services.ts';
import { createUringCalls, type Engine } from './engine.ts';
import { Executor } from './executor.ts';
import { Journal, ResourceType, type TakenCall } from './journal.ts';
import { closeMounts, openMounts } from './mounts.ts';
import { Pool } from './pool.ts';
import { restoreHandles } from './restore.ts';
import { RingSink } from './ring-sink.ts';
import { TraceBuffer } from './trace-buffer.ts';
import type { UringCalls } from './uring-calls.ts';

const { EIO } = constants.errno;

/** Submissions served before events are looked at. */
const BATCH = 64;
/** How long to sleep while answers wait for room in the ring, in milliseconds. */
const OVERFLOW_MILLISECONDS = 1;

/** One channel, as whichever worker serves it needs it. */
export interface ServedChannel {
  readonly channel: number;
  /** Wakes the worker that serves this channel. */
  readonly hostBell: number;
  /** Wakes the enclave thread's event loop. */
  readonly enclaveBell: number;
  /** What the workers of this channel hand on from one to the next: see {@link Journal}. */
  readonly journal: SharedArrayBuffer;
  /** For the io_uring of the engine, kept by another thread: see {@link UringCalls}. */
  readonly uringMemory: SharedArrayBuffer;
  /** Where calls are traced, if they are. */
  readonly trace?: SharedArrayBuffer | undefined;
}

/** What is the same for all channels of an enclave. */
export interface ServingOptions {
  readonly grants: Grants;
  /** The directory of the host for each grant of files. */
  readonly directories: readonly string[];
  readonly engine: Engine;
}

/**
 * Serves one channel: takes its submissions and executes them. It goes on where the worker before it died, or
 * left the channel.
 */
export class ChannelServer {
  readonly channel: number;
  readonly #reader: SubmissionReader;
  readonly #sink: RingSink;
  readonly #executor: Executor;
  readonly #pool: Pool;
  /** Submissions served since events were last looked at. */
  #sinceLook = 0;
  readonly #uring: UringCalls | undefined;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #parkedWord: number;
  readonly #request = new Request();
  readonly #journal: Journal;

  constructor(boundary: SharedMapping, served: ServedChannel, options: ServingOptions, handlers: Handlers) {
    const { channel, hostBell, enclaveBell } = served;
    const { grants, directories, engine } = options;
    this.channel = channel;
    const journal = new Journal(served.journal);
    if (served.trace !== undefined) journal.trace = new TraceBuffer(served.trace);
    this.#journal = journal;
    const layout = channelLayout(channel);
    this.#words = new Int32Array(boundary.buffer);
    this.#reader = new SubmissionReader({
      words: this.#words,
      entries: layout.submissionRing,
      size: RING_ENTRIES,
      taken: layout.submissionsTaken,
      start: journal.submissionsTaken,
    });
    this.#sink = new RingSink(boundary, layout, enclaveBell, journal);
    const mounts = openMounts(grants.files, directories);
    const arena = boundary.address + layout.arena;
    this.#executor = new Executor(handlers, grants, arena, ARENA_BYTES, this.#sink, mounts, journal);
    this.#pool = new Pool(this.#executor);
    this.#uring = createUringCalls(engine, this.#executor, served.uringMemory, this.#pool);
    this.#executor.blocking = this.#uring ?? this.#pool;
    this.#parkedWord = layout.hostParked >> 2;
    check(addToEpoll(this.#executor.epoll, hostBell, EPOLLIN), 'epoll_ctl');
    this.#executor.watch(hostBell, { onEvents: () => drainEvent(hostBell) });
    Atomics.store(this.#words, this.#parkedWord, 0);
    this.#takeOver();
  }

  /**
   * Goes on where the worker before this one ended. Its handles stay; calls that only waited are served from the
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

  /** Serves what is there and says how much it was. */
  serve(): number {
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
      this.look();
    }
    return served;
  }

  /** Whether there is something to serve, or room for answers that wait. */
  hasWork(): boolean {
    return this.#sink.overflowing ? this.#sink.hasRoom() : this.#reader.waiting();
  }

  /** Handles the events of calls that wait, if any do, and says how many came. */
  look(): number {
    return this.#executor.pendingCount > 0 ? this.#executor.poll(0) : 0;
  }

  /** Handles whatever woke the worker. */
  poll(): void {
    this.#executor.poll(0);
  }

  /** Readable while there are events to handle. */
  get epoll(): number {
    return this.#executor.epoll;
  }

  /** How long the worker may sleep, in milliseconds; -1: without end. */
  get sleepMilliseconds(): number {
    const left = this.#executor.untilDeadline();
    if (!this.#sink.overflowing) return left;
    return left < 0 ? OVERFLOW_MILLISECONDS : Math.min(left, OVERFLOW_MILLISECONDS);
  }

  /** Whether the event loop may have to tell of a thread of the pool. */
  get wantsTurn(): boolean {
    return this.#pool.wantsTurn;
  }

  /** Counts that its worker spins, or sleeps, for want of work. */
  count(wait: typeof Count.spins | typeof Count.parks): void {
    this.#journal.counters.add(wait);
  }

  /**
   * Asks to be woken for what comes from here on; true when something has come already. Each sleep has a number
   * of its own, never zero, so that the enclave ends it once.
   */
  park(): boolean {
    const sleeps = (this.#journal.sleeps & 0x3fff_ffff) + 1;
    this.#journal.sleep(sleeps);
    this.#reader.acknowledge();
    Atomics.store(this.#words, this.#parkedWord, sleeps);
    return !this.#sink.overflowing && this.#reader.waiting();
  }

  unpark(): void {
    Atomics.store(this.#words, this.#parkedWord, 0);
  }

  /**
   * Whether another worker can go on here without anybody noticing: calls wait for sockets at most, and every
   * handle can be made again from its descriptor.
   */
  get isMovable(): boolean {
    if (this.#sink.overflowing || !this.#journal.inFlight().every(isServedAgain)) return false;
    for (const { type } of this.#journal.handles()) if (type === ResourceType.other) return false;
    return true;
  }

  /** Leaves the channel to another worker, with its handles open and its calls waiting. */
  async leave(): Promise<void> {
    this.#uring?.close(this.#executor);
    await this.#pool.end(this.#executor);
    this.#journal.closeOwn();
  }

  /** Closes everything, for good. */
  async end(): Promise<void> {
    this.#executor.closeAll();
    this.#uring?.close(this.#executor);
    await this.#pool.close(this.#executor);
    closeMounts(this.#executor.mounts);
    this.#journal.end();
    this.#sink.flush();
    this.#sink.wake();
  }
}

/** Kinds that wait for a socket or a stream without having done anything, and of which the journal has all that they ask. */
const servedAgain: ReadonlySet<number> = new Set([
  CallKind.accept,
  CallKind.receive,
  CallKind.send,
  CallKind.receiveFrom,
  CallKind.sendTo,
  CallKind.poll,
  CallKind.readStream,
  CallKind.writeStream,
]);

function isServedAgain({ kind, waits }: TakenCall): boolean {
  return waits && servedAgain.has(kind);
}
