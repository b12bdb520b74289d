import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import {
  BLOCKING_CALLS_MAX,
  BLOCKING_THREADS_MAX,
  CALLS_IN_FLIGHT_MAX,
  FILE_TRANSFER_MAX,
} from '../limits.ts';
import {
  addToEpoll,
  closeDescriptor,
  createEvent,
  drainEvent,
  EPOLLIN,
  signalEvent,
} from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import { copyMemory } from '../linux/memory.ts';
import { perform } from './blocking.ts';
import type { BlockingCall, BlockingCalls } from './blocking-call.ts';
import { BlockingQueue } from './blocking-queue.ts';
import type { Executor, Watched } from './executor.ts';
import type { PoolThreadData } from './pool-main.ts';

const { ECANCELED, EINVAL } = constants.errno;

/**
 * Threads that block so that their worker does not: none at first, one more whenever calls wait that no thread
 * is free for, up to a limit; each ends when it has been idle for a while.
 *
 * A thread works on a copy of the payload. A call that is cancelled or late is therefore answered at once: its
 * thread goes on, finds nobody waiting, and what it made is given back.
 */
export class Pool implements BlockingCalls, Watched {
  readonly #queue = new BlockingQueue();
  /** Rings when a thread has a result. */
  readonly bell: number = check(createEvent(), 'eventfd');
  readonly #threads = new Set<Worker>();
  readonly #calls: (BlockingCall | undefined)[] = new Array(BLOCKING_CALLS_MAX).fill(undefined);
  readonly #free: number[] = Array.from({ length: BLOCKING_CALLS_MAX }, (_, slot) => slot);
  /** Calls that found every slot taken. */
  readonly #waiting: BlockingCall[] = [];

  /** Listens for results in the epoll of the executor whose calls it makes. */
  constructor(executor: Executor) {
    check(addToEpoll(executor.epoll, this.bell, EPOLLIN), 'epoll_ctl');
    executor.watch(this.bell, this);
  }

  start(executor: Executor, call: BlockingCall): void {
    executor.wait(call, call.timeout);
    executor.retries(call, true);
    if (call.length > FILE_TRANSFER_MAX) call.finish(executor, -EINVAL, 0);
    else this.#put(executor, call);
  }

  /** Nothing is held back. */
  submit(): void {}

  #put(executor: Executor, call: BlockingCall): void {
    if (call.withdrawn) return call.finish(executor, -ECANCELED, 0);
    const slot = this.#free.pop();
    if (slot === undefined) {
      if (this.#waiting.length >= 2 * CALLS_IN_FLIGHT_MAX) this.#forgetWithdrawn(executor);
      this.#waiting.push(call);
      return;
    }
    this.#calls[slot] = call;
    if (call.length > 0) copyMemory(this.#queue.buffer(slot), call.address, call.length);
    this.#queue.put(slot, call);
    if (this.#queue.wantsThread && this.#queue.alive < BLOCKING_THREADS_MAX) this.#startThread();
  }

  /** Calls that are made and cancelled without end must not gather here while every thread waits for a disk. */
  #forgetWithdrawn(executor: Executor): void {
    for (const call of this.#waiting.splice(0)) {
      if (call.withdrawn) call.finish(executor, -ECANCELED, call.address);
      else this.#waiting.push(call);
    }
  }

  /** Calls that wait for a slot. */
  get waitingCount(): number {
    return this.#waiting.length;
  }

  #startThread(): void {
    this.#queue.countStart();
    const data: PoolThreadData = { memory: this.#queue.memory, bell: this.bell };
    const thread = new Worker(new URL('./pool-main.js', import.meta.url), { workerData: data, execArgv: [] });
    thread.unref();
    thread.once('error', () => this.#withoutThread());
    thread.once('exit', () => this.#threads.delete(thread));
    this.#threads.add(thread);
  }

  /** A thread needs descriptors, and the host may have none left: then, when there is no other, this one blocks. */
  #withoutThread(): void {
    this.#queue.countFailure();
    if (this.#queue.alive > 0) return;
    for (let slot = this.#queue.take(); slot >= 0; slot = this.#queue.take()) {
      this.#queue.finish(slot, perform(this.#queue.call(slot), this.#queue.buffer(slot)));
    }
    signalEvent(this.bell);
  }

  onEvents(executor: Executor): void {
    drainEvent(this.bell);
    for (let slot = 0; slot < BLOCKING_CALLS_MAX; slot++) this.#collect(executor, slot);
    while (this.#free.length > 0 && this.#waiting.length > 0) {
      this.#put(executor, this.#waiting.shift() as BlockingCall);
    }
  }

  #collect(executor: Executor, slot: number): void {
    const call = this.#calls[slot];
    const result = call === undefined ? undefined : this.#queue.takeResult(slot);
    if (call === undefined || result === undefined) return;
    this.#calls[slot] = undefined;
    this.#free.push(slot);
    if (!call.withdrawn && result >= 0 && call.length > 0) {
      copyMemory(call.address, this.#queue.buffer(slot), call.length);
    }
    call.finish(executor, result, this.#queue.buffer(slot));
  }

  /** Whether the event loop may have to tell of a thread: that it has ended, or could not be started. */
  get wantsTurn(): boolean {
    return this.#queue.starting > 0 || this.#threads.size > this.#queue.alive;
  }

  get threadCount(): number {
    return this.#threads.size;
  }

  /**
   * Ends the threads once their calls are over: the kernel cannot be asked to end a wait for a disk. The bell
   * stays open.
   */
  async end(executor: Executor): Promise<void> {
    this.#queue.stop();
    while (this.#threads.size > 0) await new Promise((resolve) => setImmediate(resolve));
    this.onEvents(executor);
  }

  async close(executor: Executor): Promise<void> {
    await this.end(executor);
    closeDescriptor(this.bell);
  }
}
