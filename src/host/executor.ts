import { constants } from 'node:os';
import type { Grants } from '../boundary/grants.ts';
import { CALL_KINDS, CallKind } from '../boundary/kinds.ts';
import type { CompletionSink } from '../boundary/port.ts';
import type { Request } from '../boundary/ring.ts';
import { CALLS_IN_FLIGHT_MAX, HANDLES_MAX, PAYLOAD_MAX } from '../limits.ts';
import { privateAddress } from '../linux/addresses.ts';
import { closeDescriptor, createEpoll, EventBuffer, waitForEvents } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import { copyMemory } from '../linux/memory.ts';
import { type BlockingCall, type BlockingCalls, blockingInPlace } from './blocking-call.ts';
import { Deadlines } from './deadlines.ts';
import { type Journal, ResourceType } from './journal.ts';
import type { Mount } from './mounts.ts';
import { ResolvedNames } from './resolved-names.ts';

const { EAGAIN, EBADF, ECANCELED, EINVAL, EMFILE, ENOSYS, ETIMEDOUT } = constants.errno;
const EVENTS_A_POLL = 256;

/** Something that the enclave holds a handle of. */
export interface Resource {
  /** Ends it: everything that waits on it is answered first. The result is that of close(2). */
  close(executor: Executor): number;
  /** See {@link ResourceType}; left out, it ends with its worker. */
  readonly type?: number;
  /** What another worker makes it again from; closed with it, but for a stream's. */
  readonly descriptor?: number;
}

/** Told of what epoll reports on a descriptor. */
export interface Watched {
  onEvents(executor: Executor, events: number): void;
}

/** A call that could not be answered at once. */
export interface Pending {
  readonly id: number;
  /** Takes it out of whatever it waits in; its answer is given by who asked. */
  withdraw(executor: Executor): void;
}

/** Serves one kind of call: answers now, or keeps a {@link Pending} and answers later. */
export type Handler = (executor: Executor, request: Request) => void;

/**
 * Serves the calls of one channel with the system's own calls. What would block waits here, on epoll, and
 * never holds the thread. The same executor runs in a host worker and, for the strategies without an enclave,
 * in place.
 *
 * The enclave is not trusted with the host either: it can name only handles that it was given, and payloads
 * only within its arena.
 */
export class Executor {
  readonly epoll: number;
  readonly grants: Grants;
  /** The directory of each grant of files. */
  readonly mounts: readonly Mount[];
  /** What names that the enclave may connect to were found to stand for. */
  readonly resolved: ResolvedNames = new ResolvedNames();
  /** Where calls that may wait for a disk are made: here, unless told otherwise. */
  blocking: BlockingCalls = blockingInPlace;
  readonly #sink: CompletionSink;
  readonly #base: number;
  readonly #payloadEnd: number;
  readonly #handlers: (Handler | undefined)[];
  readonly #resources: (Resource | undefined)[] = [];
  readonly #freeHandles: number[] = [];
  readonly #watched: (Watched | undefined)[] = [];
  readonly #events = new EventBuffer(EVENTS_A_POLL);
  readonly #pending = new Map<number, Pending>();
  readonly #deadlines: Deadlines<Pending> = new Deadlines(
    (pending) => this.#pending.get(pending.id) === pending,
  );
  readonly #journal: Journal | undefined;

  /**
   * Payloads are offsets from `base` below `payloadEnd`: a channel's arena, or all of the address space
   * (`base` 0) where calls are served in place. A worker's executor keeps the journal of its handles.
   */
  constructor(
    handlers: Readonly<Partial<Record<keyof typeof CallKind, Handler>>>,
    grants: Grants,
    base: number,
    payloadEnd: number,
    sink: CompletionSink,
    mounts: readonly Mount[] = [],
    journal?: Journal,
  ) {
    this.#handlers = new Array(CALL_KINDS).fill(undefined);
    for (const [name, handler] of Object.entries(handlers)) {
      this.#handlers[CallKind[name as keyof typeof CallKind]] = handler;
    }
    this.#handlers[CallKind.cancel] = cancel;
    this.#handlers[CallKind.close] = close;
    this.grants = grants;
    this.mounts = mounts;
    this.#base = base;
    this.#payloadEnd = payloadEnd;
    this.#sink = sink;
    this.#journal = journal;
    this.epoll = check(createEpoll(), 'epoll_create1');
  }

  /** Serves one request. Its fields are a private copy, checked here and by the handler. */
  execute(request: Request): void {
    const handler = this.#handlers[request.kind & (CALL_KINDS - 1)];
    const { payload, length } = request;
    if (handler === undefined || request.kind >= CALL_KINDS || request.kind < 0) {
      this.complete(request.id, -ENOSYS);
    } else if (length < 0 || length > PAYLOAD_MAX || payload < 0 || payload + length > this.#payloadEnd) {
      this.complete(request.id, -EINVAL);
    } else handler(this, request);
  }

  /** The address of a payload that {@link execute} has checked. */
  address(payload: number): number {
    return this.#base + payload;
  }

  /** Copies `length` bytes of `view` from `offset` to a payload's address, for services of the host's own. */
  fill(address: number, view: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
    copyMemory(address, privateAddress(view) + offset, length);
  }

  /** Copies `length` bytes from a payload's address into `view` at `offset`. */
  take(address: number, view: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
    copyMemory(privateAddress(view) + offset, address, length);
  }

  complete(id: number, result: number, extra0 = 0, extra1 = 0): void {
    this.#sink.complete(id, result, extra0, extra1);
  }

  /**
   * Keeps a call until it is answered, withdrawn or, when `timeout` (milliseconds) is not negative, late. One
   * more than an honest enclave has in flight, or a second of the same id, is withdrawn and fails at once.
   */
  wait(pending: Pending, timeout: number): void {
    if (this.#pending.size >= CALLS_IN_FLIGHT_MAX || this.#pending.has(pending.id)) {
      pending.withdraw(this);
      this.complete(pending.id, -EAGAIN);
      return;
    }
    this.#pending.set(pending.id, pending);
    this.#journal?.wait(pending.id, timeout);
    if (timeout >= 0) this.#deadlines.add(pending, timeout);
  }

  /** Says that a call that was kept is made, or, when that did nothing, that it waits again. */
  retries(pending: Pending, tries: boolean): void {
    this.#journal?.setWaits(pending.id, !tries);
  }

  /** Answers a call that was kept. */
  settle(pending: Pending, result: number, extra0 = 0, extra1 = 0): void {
    if (this.#pending.delete(pending.id)) this.#sink.complete(pending.id, result, extra0, extra1);
  }

  /** Makes a call that may block and answers it when it is over. */
  block(call: BlockingCall): void {
    this.blocking.start(this, call);
  }

  /** Calls that are kept. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Ends a kept call with an error; false when there is none of that id. */
  cancel(id: number, errno: number): boolean {
    const pending = this.#pending.get(id);
    if (pending === undefined) return false;
    pending.withdraw(this);
    this.settle(pending, -errno);
    return true;
  }

  /** Gives a handle, or `-EMFILE` (and closes the resource) when there are too many. */
  open(resource: Resource): number {
    const handle = this.#freeHandles.pop() ?? this.#resources.length;
    if (handle >= HANDLES_MAX) {
      resource.close(this);
      return -EMFILE;
    }
    this.#resources[handle] = resource;
    this.#journal?.open(handle, resource.type ?? ResourceType.other, resource.descriptor ?? -1);
    return handle;
  }

  /** Notes a connection in progress: it has a descriptor and no handle yet. */
  connecting(id: number, descriptor: number): void {
    this.#journal?.connecting(id, descriptor);
  }

  /** Keeps what a name stands for that the enclave may connect to. */
  resolve(name: string, addresses: readonly string[]): void {
    this.resolved.remember(name, addresses);
    if (this.#journal !== undefined) this.#journal.names = this.resolved.text;
  }

  /** Puts back what handles of a worker before this one stand for; the others below them are free. */
  restore(resources: ReadonlyMap<number, Resource>): void {
    const end = Math.max(-1, ...resources.keys()) + 1;
    for (let handle = 0; handle < end; handle++) {
      const resource = resources.get(handle);
      this.#resources[handle] = resource;
      if (resource === undefined) this.#freeHandles.push(handle);
    }
  }

  resource(handle: number): Resource | undefined {
    return this.#resources[handle];
  }

  closeHandle(handle: number): number {
    const resource = this.#resources[handle];
    if (resource === undefined) return -EBADF;
    this.#journal?.close(handle);
    this.#resources[handle] = undefined;
    this.#freeHandles.push(handle);
    return resource.close(this);
  }

  watch(descriptor: number, watched: Watched): void {
    this.#watched[descriptor] = watched;
  }

  unwatch(descriptor: number): void {
    this.#watched[descriptor] = undefined;
  }

  /** Milliseconds until the next deadline of a kept call, rounded up; -1 when there is none. */
  untilDeadline(): number {
    return this.#deadlines.clamp(-1);
  }

  /** Handles events and deadlines, sleeping at most so many milliseconds for the first; says how many events came. */
  poll(milliseconds: number): number {
    const count = waitForEvents(this.epoll, this.#events, this.#deadlines.clamp(milliseconds));
    for (let index = 0; index < count; index++) {
      this.#watched[this.#events.descriptorAt(index)]?.onEvents(this, this.#events.eventsAt(index));
    }
    for (let late = this.#deadlines.takeLate(); late !== undefined; late = this.#deadlines.takeLate()) {
      late.withdraw(this);
      this.settle(late, -ETIMEDOUT);
    }
    this.blocking.submit();
    return Math.max(count, 0);
  }

  /** Closes everything, for good; every kept call is answered with `ECANCELED`. */
  closeAll(): void {
    for (const id of [...this.#pending.keys()]) this.cancel(id, ECANCELED);
    for (let handle = 0; handle < this.#resources.length; handle++) this.closeHandle(handle);
    closeDescriptor(this.epoll);
  }
}

function cancel(executor: Executor, request: Request): void {
  executor.cancel(request.a0, ECANCELED);
  executor.complete(request.id, 0);
}

function close(executor: Executor, request: Request): void {
  executor.complete(request.id, executor.closeHandle(request.handle));
}
