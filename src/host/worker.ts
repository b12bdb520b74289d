import { Count } from '../boundary/counters.ts';
import { WaitPolicy } from '../boundary/waiting.ts';
import { WORKER_QUIET_MILLISECONDS } from '../limits.ts';
import {
  addToEpoll,
  deleteFromEpoll,
  drainEvent,
  EPOLLIN,
  EventBuffer,
  signalEvent,
  waitForEvents,
  yieldProcessor,
} from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { ChannelServer, type ServedChannel, type ServingOptions } from './channel-server.ts';
import type { Handlers } from './custom-services.ts';
import { Spinners } from './spinners.ts';
import { WorkerControl } from './worker-control.ts';

/** Polls of the rings between two looks at epoll while calls wait there: a look costs as much as some ten polls. */
const POLLS_A_LOOK = 32;
/** Over how long it is judged at least whether a worker has too much to do, in milliseconds. */
const JUDGED_MILLISECONDS = 50;
/** Rounds over all channels between two looks at the clock meanwhile. */
const ROUNDS_A_LOOK = 16;
/**
 * Between two attempts to leave a channel whose calls are not such that they can move, in milliseconds: the pause
 * doubles, because a call may never end.
 */
const LEAVE_MILLISECONDS = 1;
const LEAVE_MILLISECONDS_MAX = 1000;
const EVENTS_A_SLEEP = 64;
/** Node can terminate a thread only where it runs JavaScript, so a sleep without end is one of many such. */
const TERMINABLE_MILLISECONDS = 1000;

/** The exit code of a worker that ended by itself. One that is terminated before it has begun ends with 0. */
export const WORKER_ENDED = 64;

/** What a worker tells the thread that started it. */
export type WorkerMessage =
  /** It has loaded all it needs, and begins to serve. */
  { readonly kind: 'ready' } | WorkerRequest;

/** What a worker asks of that thread. */
export type WorkerRequest =
  /** It has more to do than one worker should: this channel could go to another. */
  | { readonly kind: 'crowded'; readonly channel: number }
  /** None of its channels had a call for a while. */
  | { readonly kind: 'quiet' };

export interface WorkerOptions extends ServingOptions {
  /** Which of the workers this is. */
  readonly worker: number;
  /** Every channel of the enclave; which of them it serves is in `control`. */
  readonly channels: readonly ServedChannel[];
  readonly control: SharedArrayBuffer;
  /** The bell of each worker. */
  readonly bells: readonly number[];
  /** Watches its bell, and while it runs the epoll of each of its channels. */
  readonly epoll: number;
  readonly spinners: SharedArrayBuffer;
  readonly spinnerSlot: number;
  /** Whether to poll before sleeping. */
  readonly spins: boolean;
}

/**
 * Serves channels until it is told to stop: takes submissions, executes them, sleeps when there are none. The
 * channels are those that the control wants it to serve; worker 0 stays, another ends when it has none left.
 */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #boundary: SharedMapping;
  readonly #handlers: Handlers;
  readonly #tell: (message: WorkerMessage) => void;
  readonly #control: WorkerControl;
  #changesSeen = -1;
  /** When to try again to leave a channel, on the clock of `performance`. */
  #settleAt = Number.POSITIVE_INFINITY;
  #leaveMilliseconds = LEAVE_MILLISECONDS;
  readonly #servers: ChannelServer[] = [];
  readonly #spinners: Spinners;
  readonly #policy: WaitPolicy;
  readonly #events = new EventBuffer(EVENTS_A_SLEEP);
  #rounds = 0;
  #crowdedRounds = 0;
  #judgedAt = 0;
  /** Since it was judged last. */
  #waitedMilliseconds = 0;

  constructor(
    options: WorkerOptions,
    boundary: SharedMapping,
    handlers: Handlers,
    tell: (message: WorkerMessage) => void,
  ) {
    this.#options = options;
    this.#boundary = boundary;
    this.#handlers = handlers;
    this.#tell = tell;
    this.#control = new WorkerControl(options.channels.length, options.control);
    this.#spinners = new Spinners(options.spinners, options.spinnerSlot);
    this.#policy = new WaitPolicy(options.spins);
  }

  get #bell(): number {
    return this.#options.bells[this.#options.worker] as number;
  }

  async run(): Promise<void> {
    this.#tell({ kind: 'ready' });
    for (;;) {
      if (this.#control.changes !== this.#changesSeen || this.#isLeaveDue()) {
        if (this.#control.stopped) break;
        await this.#settle();
        if (this.#isDone) break;
      }
      const served = this.#serve();
      if (this.#wantsTurn()) await new Promise((resolve) => setImmediate(resolve));
      else if (served === 0) this.#waitForWork();
    }
    for (const server of this.#servers) await server.end();
    this.#control.setAlive(this.#options.worker, false);
  }

  #isLeaveDue(): boolean {
    return this.#settleAt < Number.POSITIVE_INFINITY && performance.now() >= this.#settleAt;
  }

  /** Whether it is one too many. */
  get #isDone(): boolean {
    const { worker } = this.#options;
    return worker > 0 && this.#servers.length === 0 && this.#control.wantedOf(worker).length === 0;
  }

  /** Leaves channels that another worker is to serve, as soon as they can be, and takes those left to this one. */
  async #settle(): Promise<void> {
    this.#changesSeen = this.#control.changes;
    this.#settleAt = Number.POSITIVE_INFINITY;
    for (const { channel } of this.#options.channels) {
      if (this.#control.isSettled(channel)) continue;
      if (this.#control.server(channel) === this.#options.worker) await this.#leave(channel);
      else if (this.#control.wanted(channel) === this.#options.worker) this.#take(channel);
    }
  }

  #take(channel: number): void {
    // Whoever leaves it rings.
    if (!this.#control.take(channel, this.#options.worker)) return;
    const served = this.#options.channels[channel] as ServedChannel;
    const server = new ChannelServer(this.#boundary, served, this.#options, this.#handlers);
    check(addToEpoll(this.#options.epoll, server.epoll, EPOLLIN), 'epoll_ctl');
    this.#servers.push(server);
  }

  async #leave(channel: number): Promise<void> {
    const index = this.#servers.findIndex((server) => server.channel === channel);
    const server = this.#servers[index] as ChannelServer;
    if (!server.isMovable) {
      this.#settleAt = performance.now() + this.#leaveMilliseconds;
      this.#leaveMilliseconds = Math.min(2 * this.#leaveMilliseconds, LEAVE_MILLISECONDS_MAX);
      return;
    }
    this.#leaveMilliseconds = LEAVE_MILLISECONDS;
    this.#servers.splice(index, 1);
    deleteFromEpoll(this.#options.epoll, server.epoll);
    await server.leave();
    this.#control.leave(channel);
    signalEvent(this.#options.bells[this.#control.wanted(channel)] as number);
  }

  /** Serves what is there and says how much it was. */
  #serve(): number {
    let served = 0;
    let busy = 0;
    for (const server of this.#servers) {
      const count = server.serve();
      if (count > 0) busy++;
      served += count;
    }
    if (this.#servers.length > 1) this.#judge(busy);
    return served;
  }

  /** Asks for another worker when this one was busy most of the time, often with calls of several channels at once. */
  #judge(busy: number): void {
    if (busy > 1) this.#crowdedRounds++;
    if (++this.#rounds % ROUNDS_A_LOOK !== 0) return;
    const now = performance.now();
    const milliseconds = now - this.#judgedAt;
    if (milliseconds < JUDGED_MILLISECONDS) return;
    const isBusy = this.#waitedMilliseconds * 4 < milliseconds;
    const isCrowded = this.#crowdedRounds * 8 > this.#rounds;
    this.#judgedAt = now;
    this.#rounds = 0;
    this.#crowdedRounds = 0;
    this.#waitedMilliseconds = 0;
    if (!isBusy || !isCrowded) return;
    const movable = this.#servers.findLast((server) => server.isMovable);
    if (movable !== undefined) this.#tell({ kind: 'crowded', channel: movable.channel });
  }

  #wantsTurn(): boolean {
    for (const server of this.#servers) if (server.wantsTurn) return true;
    return false;
  }

  /** Polls the rings, and epoll beside them, for as long as work is likely to come; then sleeps. */
  #waitForWork(): void {
    if (this.#poll(this.#policy.pollsWithoutPause)) return;
    const began = performance.now();
    const spins = this.#policy.spinMicroseconds > 0 && this.#spinners.enter();
    const came = spins && this.#spin(began);
    const spun = performance.now() - began;
    if (spins) this.#spinners.leave();
    if (!came) this.#sleep();
    const waited = performance.now() - began;
    this.#waitedMilliseconds += waited;
    this.#policy.record(waited * 1000, spun * 1000);
  }

  #spin(began: number): boolean {
    this.#servers[0]?.count(Count.spins);
    const until = began + this.#policy.spinMicroseconds / 1000;
    while (performance.now() < until) {
      yieldProcessor();
      if (this.#poll(POLLS_A_LOOK)) return true;
    }
    return false;
  }

  /** True when a submission or an event came within that many polls. */
  #poll(polls: number): boolean {
    const servers = this.#servers;
    for (let count = 1; count <= polls; count++) {
      for (const server of servers) if (server.hasWork()) return true;
      if (count % POLLS_A_LOOK !== 0) continue;
      for (const server of servers) if (server.look() > 0) return true;
    }
    return false;
  }

  #sleep(): void {
    let came = false;
    for (const server of this.#servers) if (server.park()) came = true;
    if (!came && this.#control.changes === this.#changesSeen) {
      this.#servers[0]?.count(Count.parks);
      this.#wait();
    }
    for (const server of this.#servers) server.unpark();
  }

  #wait(): void {
    const began = performance.now();
    const count = this.#waitForEvents(this.#sleepMilliseconds());
    let woken = false;
    for (let index = 0; index < count; index++) {
      const isBell = this.#events.descriptorAt(index) === this.#bell;
      if (isBell) drainEvent(this.#bell);
      else woken = true;
    }
    for (const server of this.#servers) if (woken || server.sleepMilliseconds === 0) server.poll();
    const isQuiet = count === 0 && performance.now() - began >= WORKER_QUIET_MILLISECONDS;
    if (isQuiet && this.#mayLeaveAll()) this.#tell({ kind: 'quiet' });
  }

  #waitForEvents(milliseconds: number): number {
    const { epoll } = this.#options;
    if (milliseconds >= 0) return waitForEvents(epoll, this.#events, milliseconds);
    for (;;) {
      const count = waitForEvents(epoll, this.#events, TERMINABLE_MILLISECONDS);
      if (count !== 0) return count;
    }
  }

  /** Worker 0 has nobody to leave its channels to. */
  #mayLeaveAll(): boolean {
    return this.#options.worker > 0 && this.#servers.length > 0;
  }

  #sleepMilliseconds(): number {
    let least = this.#mayLeaveAll() ? WORKER_QUIET_MILLISECONDS + 1 : -1;
    if (this.#settleAt < Number.POSITIVE_INFINITY) least = this.#leaveMilliseconds;
    for (const { sleepMilliseconds } of this.#servers) {
      if (sleepMilliseconds >= 0 && (least < 0 || sleepMilliseconds < least)) least = sleepMilliseconds;
    }
    return least;
  }
}
