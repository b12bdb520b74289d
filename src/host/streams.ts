import { constants as flags } from 'node:fs';
import { constants } from 'node:os';
import type { StreamName } from '../boundary/grants.ts';
import type { Request } from '../boundary/ring.ts';
import {
  addToEpoll,
  deleteFromEpoll,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  pollDescriptor,
} from '../linux/events.ts';
import { FILE_STATUS_BYTES, FileStatus } from '../linux/file-status.ts';
import { read, statDescriptor, write } from '../linux/files.ts';
import { Structure } from '../linux/structure.ts';
import { Blocking } from './blocking.ts';
import { BlockingCall } from './blocking-call.ts';
import type { Executor, Pending, Resource, Watched } from './executor.ts';
import { ResourceType } from './journal.ts';

const { EACCES, EAGAIN, EBADF, ECANCELED, EINVAL } = constants.errno;
const names: readonly StreamName[] = ['stdin', 'stdout', 'stderr'];
/** A pipe that is ready takes as much without waiting (PIPE_BUF). */
const WRITE_BYTES_MAX = 4096;

interface PendingTransfer extends Pending {
  readonly address: number;
  readonly length: number;
}

/**
 * A standard stream of the host's process. Others share it, so it is never made non-blocking: it is read and
 * written only when it is ready, and until then calls wait here.
 */
export class Stream implements Resource, Watched {
  readonly type: number = ResourceType.stream;
  readonly descriptor: number;
  readonly #events: number;
  readonly isFile: boolean;
  readonly #queue: PendingTransfer[] = [];

  constructor(descriptor: number) {
    this.descriptor = descriptor;
    this.#events = descriptor === 0 ? EPOLLIN : EPOLLOUT;
    const status = new Structure(FILE_STATUS_BYTES);
    statDescriptor(descriptor, status.address);
    this.isFile = (new FileStatus(status.bytes).mode & flags.S_IFMT) === flags.S_IFREG;
  }

  get reads(): boolean {
    return this.descriptor === 0;
  }

  serve(executor: Executor, request: Request): void {
    const address = executor.address(request.payload);
    const { id, length, timeout } = request;
    if (this.isFile) {
      const operation = this.reads ? Blocking.read : Blocking.write;
      const { descriptor } = this;
      return executor.block(new BlockingCall(executor, request, { operation, descriptor }));
    }
    const result = this.#queue.length === 0 ? this.#try(address, length) : -EAGAIN;
    if (result !== -EAGAIN) return executor.complete(id, result);
    const pending: PendingTransfer = { id, address, length, withdraw: () => this.#remove(executor, pending) };
    this.#queue.push(pending);
    if (this.#queue.length === 1) {
      executor.watch(this.descriptor, this);
      addToEpoll(executor.epoll, this.descriptor, this.#events);
    }
    executor.wait(pending, timeout);
  }

  #try(address: number, length: number): number {
    if (pollDescriptor(this.descriptor, this.#events | EPOLLERR | EPOLLHUP, 0) === 0) return -EAGAIN;
    return this.reads
      ? read(this.descriptor, address, length)
      : write(this.descriptor, address, Math.min(length, WRITE_BYTES_MAX));
  }

  onEvents(executor: Executor): void {
    const pending = this.#queue[0];
    if (pending === undefined) return;
    executor.retries(pending, true);
    const result = this.#try(pending.address, pending.length);
    if (result === -EAGAIN) return executor.retries(pending, false);
    this.#remove(executor, pending);
    executor.settle(pending, result);
  }

  #remove(executor: Executor, pending: PendingTransfer): void {
    const index = this.#queue.indexOf(pending);
    if (index < 0) return;
    this.#queue.splice(index, 1);
    if (this.#queue.length > 0) return;
    deleteFromEpoll(executor.epoll, this.descriptor);
    executor.unwatch(this.descriptor);
  }

  /** The stream itself stays open: it is the host's. */
  close(executor: Executor): number {
    for (const { id } of [...this.#queue]) executor.cancel(id, ECANCELED);
    return 0;
  }
}

/** a0: which stream, by the number of its descriptor. */
export function openStream(executor: Executor, request: Request): void {
  const name = names[request.a0];
  if (name === undefined) executor.complete(request.id, -EINVAL);
  else if (!executor.grants.streams.includes(name)) executor.complete(request.id, -EACCES);
  else executor.complete(request.id, executor.open(new Stream(request.a0)));
}

/** The payload receives what is there. */
export function readStream(executor: Executor, request: Request): void {
  serve(executor, request, true);
}

/** Payload: what to write. */
export function writeStream(executor: Executor, request: Request): void {
  serve(executor, request, false);
}

function serve(executor: Executor, request: Request, reads: boolean): void {
  const stream = executor.resource(request.handle);
  if (!(stream instanceof Stream) || stream.reads !== reads) executor.complete(request.id, -EBADF);
  else if (request.length === 0) executor.complete(request.id, 0);
  else stream.serve(executor, request);
}
