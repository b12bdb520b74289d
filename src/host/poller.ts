import { constants } from 'node:os';
import { READY_BYTES, READY_MAX, Readiness } from '../boundary/net.ts';
import type { Request } from '../boundary/ring.ts';
import {
  addToEpoll,
  closeDescriptor,
  createEpoll,
  deleteFromEpoll,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  EventBuffer,
  modifyInEpoll,
  waitForEvents,
} from '../linux/events.ts';
import { copyMemory } from '../linux/memory.ts';
import { Structure } from '../linux/structure.ts';
import type { Executor, Pending, Resource, Watched } from './executor.ts';
import { ResourceType } from './journal.ts';
import { Socket } from './socket.ts';

const { EBADF, ECANCELED, EEXIST, EINVAL, ENOENT } = constants.errno;

const events = new EventBuffer(READY_MAX);
const report = new Structure(READY_MAX * READY_BYTES);

interface PendingPoll extends Pending {
  readonly address: number;
  readonly capacity: number;
}

/**
 * Watches any number of sockets for one call to ask about: an epoll of its own, level-triggered, which the
 * executor's epoll watches in turn while a call waits.
 */
export class Poller implements Resource, Watched {
  readonly type: number = ResourceType.poller;
  readonly descriptor: number;
  /** By descriptor. */
  readonly #handles: Map<number, number>;
  #pending: PendingPoll | undefined;
  #registered = false;

  constructor(epoll: number, handles: ReadonlyMap<number, number> = new Map()) {
    this.descriptor = epoll;
    this.#handles = new Map(handles);
  }

  watch(socket: Socket, handle: number, readiness: number): number {
    const { descriptor } = socket;
    if (readiness === 0) {
      this.#handles.delete(descriptor);
      return deleteFromEpoll(this.descriptor, descriptor);
    }
    let mask = EPOLLRDHUP;
    if ((readiness & Readiness.readable) !== 0) mask |= EPOLLIN;
    if ((readiness & Readiness.writable) !== 0) mask |= EPOLLOUT;
    this.#handles.set(descriptor, handle);
    const result = addToEpoll(this.descriptor, descriptor, mask);
    return result === -EEXIST ? modifyInEpoll(this.descriptor, descriptor, mask) : result;
  }

  poll(executor: Executor, request: Request): void {
    if (this.#pending !== undefined) return executor.complete(request.id, -EINVAL);
    const capacity = Math.min(READY_MAX, request.length / READY_BYTES) | 0;
    const address = executor.address(request.payload);
    const count = this.#collect(address, capacity);
    if (count !== 0 || request.timeout === 0) return executor.complete(request.id, count);
    this.#pending = { id: request.id, address, capacity, withdraw: () => this.#forget() };
    executor.wait(this.#pending, request.timeout);
    this.#arm(executor);
  }

  #forget(): void {
    this.#pending = undefined;
  }

  /** Asks to be told when something is ready: an edge, or what is ready already. */
  #arm(executor: Executor): void {
    const arm = this.#registered ? modifyInEpoll : addToEpoll;
    this.#registered = true;
    executor.watch(this.descriptor, this);
    arm(executor.epoll, this.descriptor, EPOLLIN | EPOLLET);
  }

  onEvents(executor: Executor): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const count = this.#collect(pending.address, pending.capacity);
    if (count === 0) return this.#arm(executor);
    this.#pending = undefined;
    executor.settle(pending, count);
  }

  /** Writes what is ready now to the payload and says how much it is. */
  #collect(address: number, capacity: number): number {
    const ready = waitForEvents(this.descriptor, events, 0);
    let count = 0;
    for (let index = 0; index < ready && count < capacity; index++) {
      const handle = this.#handles.get(events.descriptorAt(index));
      if (handle === undefined) continue;
      const mask = events.eventsAt(index);
      let readiness = 0;
      if ((mask & EPOLLIN) !== 0) readiness |= Readiness.readable;
      if ((mask & EPOLLOUT) !== 0) readiness |= Readiness.writable;
      if ((mask & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) readiness |= Readiness.closed;
      report.view.setInt32(count * READY_BYTES, handle, true);
      report.view.setInt32(count * READY_BYTES + 4, readiness, true);
      count++;
    }
    if (count > 0) copyMemory(address, report.address, count * READY_BYTES);
    return count;
  }

  close(executor: Executor): number {
    if (this.#pending !== undefined) executor.cancel(this.#pending.id, ECANCELED);
    if (this.#registered) executor.unwatch(this.descriptor);
    return closeDescriptor(this.descriptor);
  }
}

export function createPoller(executor: Executor, request: Request): void {
  const epoll = createEpoll();
  executor.complete(request.id, epoll < 0 ? epoll : executor.open(new Poller(epoll)));
}

/** a0: the handle of a socket; a1: what to watch it for, see {@link Readiness}; nothing ends the watch. */
export function watch(executor: Executor, request: Request): void {
  const poller = executor.resource(request.handle);
  const socket = executor.resource(request.a0);
  if (!(poller instanceof Poller) || !(socket instanceof Socket))
    return executor.complete(request.id, -EBADF);
  const result = poller.watch(socket, request.a0, request.a1);
  executor.complete(request.id, result === -ENOENT ? 0 : result);
}

/** The payload receives what is ready, {@link READY_BYTES} each; the result is how many. Late, it is ETIMEDOUT. */
export function poll(executor: Executor, request: Request): void {
  const poller = executor.resource(request.handle);
  if (!(poller instanceof Poller)) executor.complete(request.id, -EBADF);
  else poller.poll(executor, request);
}
