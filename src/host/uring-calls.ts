import { constants } from 'node:os';
import { FILE_TRANSFER_MAX, URING_CALLS_MAX } from '../limits.ts';
import {
  addToEpoll,
  closeDescriptor,
  createEvent,
  drainEvent,
  EPOLLIN,
  signalEvent,
} from '../linux/events.ts';
import { addressOf, check } from '../linux/ffi.ts';
import { copyMemory } from '../linux/memory.ts';
import { releaseUring, Uring } from '../linux/uring.ts';
import { Blocking } from './blocking.ts';
import type { BlockingCall, BlockingCalls } from './blocking-call.ts';
import type { Executor, Watched } from './executor.ts';

const { ECANCELED } = constants.errno;

/** What has to be given back if the worker cannot: the bell, then what {@link releaseUring} takes. */
const NOTES = 8;
const BUFFERS_OFFSET = 64;

/** Memory for {@link UringCalls}. Untouched, it costs address space only. */
export function createUringMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(BUFFERS_OFFSET + URING_CALLS_MAX * FILE_TRANSFER_MAX);
}

/** Gives back the ring of a worker that died. Its thread has ended, so the kernel uses no buffer any more. */
export function releaseUringMemory(memory: SharedArrayBuffer): void {
  const notes = new Float64Array(memory, 0, NOTES);
  const [bell = 0, ...resources] = notes;
  if (bell === 0) return;
  notes.fill(0);
  closeDescriptor(bell);
  releaseUring(resources);
}

/**
 * Reads and writes that the page cache could not take at once, made by the kernel itself through an io_uring: no
 * thread, and one system call for all that were started together. Everything else, and what finds every buffer
 * taken, goes on to `others`.
 *
 * The kernel works on a buffer of the host's own. A call that is cancelled or late is therefore answered at
 * once: its buffer stays taken until the kernel is done with it.
 */
export class UringCalls implements BlockingCalls, Watched {
  readonly #others: BlockingCalls;
  readonly #ring: Uring = new Uring(URING_CALLS_MAX);
  /** Rings when the kernel has a result. */
  readonly bell: number;
  readonly #notes: Float64Array<SharedArrayBuffer>;
  readonly #buffers: number;
  readonly #calls: (BlockingCall | undefined)[] = new Array(URING_CALLS_MAX).fill(undefined);
  readonly #free: number[] = Array.from({ length: URING_CALLS_MAX }, (_, slot) => slot);
  /** Started, and not yet handed to the kernel. */
  #queued = 0;

  /**
   * `memory`, of {@link createUringMemory}, must be kept by another thread for as long as this one lives.
   *
   * @throws what the constructor of {@link Uring} throws.
   */
  constructor(executor: Executor, memory: SharedArrayBuffer, others: BlockingCalls) {
    this.#others = others;
    this.bell = createEvent();
    this.#buffers = addressOf(new Uint8Array(memory)) + BUFFERS_OFFSET;
    this.#notes = new Float64Array(memory, 0, NOTES);
    this.#notes.set([this.bell, ...this.#ring.resources]);
    try {
      check(this.bell, 'eventfd');
      check(this.#ring.registerEvent(this.bell), 'io_uring_register');
      check(addToEpoll(executor.epoll, this.bell, EPOLLIN), 'epoll_ctl');
    } catch (error) {
      this.close(executor);
      throw error;
    }
    executor.watch(this.bell, this);
  }

  start(executor: Executor, call: BlockingCall): void {
    const slot = isServed(call) ? this.#free.pop() : undefined;
    if (slot === undefined) return this.#others.start(executor, call);
    executor.wait(call, call.timeout);
    if (call.withdrawn) {
      this.#free.push(slot);
      return call.finish(executor, -ECANCELED, 0);
    }
    executor.retries(call, true);
    this.#calls[slot] = call;
    this.#queue(call, slot);
    this.#queued++;
  }

  /** There is always room: the ring takes as much as there are buffers. */
  #queue({ operation, descriptor, address, length, position }: BlockingCall, slot: number): void {
    const buffer = this.#buffer(slot);
    if (operation === Blocking.read) {
      this.#ring.queueRead(descriptor, buffer, length, position, slot);
    } else {
      copyMemory(buffer, address, length);
      this.#ring.queueWrite(descriptor, buffer, length, position, slot);
    }
  }

  #buffer(slot: number): number {
    return this.#buffers + slot * FILE_TRANSFER_MAX;
  }

  /** What the kernel has no room for now is offered again, which the bell sees to. */
  submit(): void {
    if (this.#queued === 0) return;
    const taken = this.#ring.submit(0);
    if (taken > 0) this.#queued -= taken;
    if (this.#queued > 0) signalEvent(this.bell);
  }

  onEvents(executor: Executor): void {
    drainEvent(this.bell);
    const count = this.#ring.completed;
    for (let index = 0; index < count; index++) {
      this.#collect(executor, this.#ring.tokenAt(index), this.#ring.resultAt(index));
    }
    this.#ring.release(count);
  }

  #collect(executor: Executor, slot: number, result: number): void {
    const call = this.#calls[slot] as BlockingCall;
    this.#calls[slot] = undefined;
    this.#free.push(slot);
    const reads = call.operation === Blocking.read;
    if (reads && !call.withdrawn && result > 0) copyMemory(call.address, this.#buffer(slot), result);
    call.finish(executor, result, this.#buffer(slot));
  }

  /** Calls that the kernel has, or is about to have. */
  get inFlight(): number {
    return URING_CALLS_MAX - this.#free.length;
  }

  /** Ends what is in flight; what has begun on a disk is waited for. */
  close(executor: Executor): void {
    this.#ring.close();
    this.#notes.fill(0);
    closeDescriptor(this.bell);
    for (const call of this.#calls) call?.finish(executor, -ECANCELED, call.address);
    this.#calls.fill(undefined);
  }
}

/** Those that say where in the file: the place where a file is at is one for all that use it. */
function isServed({ operation, position, length }: BlockingCall): boolean {
  return (
    (operation === Blocking.read || operation === Blocking.write) &&
    position >= 0 &&
    length <= FILE_TRANSFER_MAX
  );
}
