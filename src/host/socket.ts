import { rmSync } from 'node:fs';
import { constants } from 'node:os';
import {
  addToEpoll,
  closeDescriptor,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
} from '../linux/events.ts';
import { acceptSocket, receive, SocketAddressBuffer, socketError, transmit } from '../linux/sockets.ts';
import type { Executor, Pending, Resource, Watched } from './executor.ts';
import { ResourceType } from './journal.ts';

const { EAGAIN, ECANCELED, EINPROGRESS, EINVAL } = constants.errno;
const READABLE: number = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
const WRITABLE: number = EPOLLOUT | EPOLLHUP | EPOLLERR;
const OVER: number = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

/** What is tried on a socket, now or once it is ready. */
export const Attempt = {
  receive: 0,
  transmit: 1,
  accept: 2,
  connect: 3,
  receiveFrom: 4,
  transmitTo: 5,
} as const;

const peer = new SocketAddressBuffer();

function isWriting(attempt: number): boolean {
  return attempt === Attempt.transmit || attempt === Attempt.connect || attempt === Attempt.transmitTo;
}

/** A call that waits for its socket to be ready, in the order in which it came. */
class PendingAttempt implements Pending {
  readonly id: number;
  readonly attempt: number;
  readonly address: number;
  readonly length: number;
  readonly #socket: Socket;
  readonly #queue: PendingAttempt[];

  constructor(
    id: number,
    attempt: number,
    address: number,
    length: number,
    socket: Socket,
    queue: PendingAttempt[],
  ) {
    this.id = id;
    this.attempt = attempt;
    this.address = address;
    this.length = length;
    this.#socket = socket;
    this.#queue = queue;
  }

  /** A socket that is still connecting has no handle by which it could be closed later. */
  withdraw(executor: Executor): void {
    const index = this.#queue.indexOf(this);
    if (index >= 0) this.#queue.splice(index, 1);
    if (this.attempt === Attempt.connect) this.#socket.close(executor);
  }
}

/** What receives and sends: a socket, or what stands in for one. */
export abstract class ByteStream implements Resource {
  abstract serve(
    executor: Executor,
    id: number,
    attempt: number,
    address: number,
    length: number,
    timeout: number,
  ): void;
  abstract close(executor: Executor): number;
}

/**
 * A non-blocking socket and the calls that wait for it. It is given to epoll, edge-triggered, when the first
 * call has to wait; from then on it remembers what epoll said, so that a try that cannot succeed is not made.
 */
export class Socket extends ByteStream implements Watched {
  readonly type: number = ResourceType.socket;
  readonly descriptor: number;
  /** The path that binding it made, which goes when it is closed, as Node has it. */
  readonly #path: string | undefined;
  readonly #readers: PendingAttempt[] = [];
  readonly #writers: PendingAttempt[] = [];
  #registered = false;
  #readable = true;
  #writable = true;
  /** Once the other side has ended, an edge may never come again. */
  #over = false;

  constructor(descriptor: number, path?: string) {
    super();
    this.descriptor = descriptor;
    this.#path = path;
  }

  /** Tries now, unless others wait already; otherwise keeps the call until the socket is ready. */
  serve(
    executor: Executor,
    id: number,
    attempt: number,
    address: number,
    length: number,
    timeout: number,
  ): void {
    const writes = isWriting(attempt);
    const queue = writes ? this.#writers : this.#readers;
    if (queue.length === 0 && (writes ? this.#writable : this.#readable)) {
      const result = this.#try(executor, attempt, address, length);
      if (result !== -EAGAIN) {
        executor.complete(id, result);
        return;
      }
    }
    const pending = new PendingAttempt(id, attempt, address, length, this, queue);
    queue.push(pending);
    executor.wait(pending, timeout);
    if (!this.#registered) this.#register(executor);
  }

  #register(executor: Executor): void {
    this.#registered = true;
    executor.watch(this.descriptor, this);
    const result = addToEpoll(executor.epoll, this.descriptor, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (result < 0) this.#failAll(executor, result);
  }

  onEvents(executor: Executor, events: number): void {
    if ((events & OVER) !== 0) this.#over = true;
    if ((events & READABLE) !== 0) {
      this.#readable = true;
      this.#retry(executor, this.#readers);
    }
    if ((events & WRITABLE) !== 0) {
      this.#writable = true;
      this.#retry(executor, this.#writers);
    }
  }

  #retry(executor: Executor, queue: PendingAttempt[]): void {
    for (let pending = queue[0]; pending !== undefined; pending = queue[0]) {
      executor.retries(pending, true);
      const result = this.#try(executor, pending.attempt, pending.address, pending.length);
      if (result === -EAGAIN) return executor.retries(pending, false);
      queue.shift();
      executor.settle(pending, result);
    }
  }

  #try(executor: Executor, attempt: number, address: number, length: number): number {
    const result = this.perform(executor, attempt, address, length);
    if (result === -EAGAIN) {
      if (isWriting(attempt)) this.#writable = false;
      else this.#readable = this.#over;
    } else if (attempt === Attempt.receive && result > 0 && result < length && this.#registered) {
      // A short read empties a stream, and the next byte to come is a new edge.
      this.#readable = this.#over;
    }
    return result;
  }

  /** Makes one attempt: its result, or `-EAGAIN` when the socket is not ready for it. */
  protected perform(executor: Executor, attempt: number, address: number, length: number): number {
    switch (attempt) {
      case Attempt.receive:
        return receive(this.descriptor, address, length);
      case Attempt.transmit:
        return transmit(this.descriptor, address, length);
      case Attempt.accept: {
        const descriptor = acceptSocket(this.descriptor, peer);
        return descriptor < 0 ? descriptor : executor.open(new Socket(descriptor));
      }
      case Attempt.connect:
        return this.#connected(executor);
      default:
        return -EINVAL;
    }
  }

  /** How a connect went that was in progress; its handle is given only now. */
  #connected(executor: Executor): number {
    if (!this.#registered) return -EAGAIN;
    const error = socketError(this.descriptor);
    if (error === -EINPROGRESS) return -EAGAIN;
    if (error === 0) return executor.open(this);
    executor.unwatch(this.descriptor);
    closeDescriptor(this.descriptor);
    return error;
  }

  /** Begins to be waited for as a connection in progress. */
  awaitConnection(executor: Executor, id: number, timeout: number): void {
    this.#writable = false;
    executor.connecting(id, this.descriptor);
    this.serve(executor, id, Attempt.connect, 0, 0, timeout);
  }

  close(executor: Executor): number {
    this.#failAll(executor, -ECANCELED);
    if (this.#registered) executor.unwatch(this.descriptor);
    const result = closeDescriptor(this.descriptor);
    if (this.#path !== undefined) rmSync(this.#path, { force: true });
    return result;
  }

  #failAll(executor: Executor, result: number): void {
    for (const queue of [this.#readers, this.#writers]) {
      for (const pending of queue.splice(0)) executor.settle(pending, result);
    }
  }
}
