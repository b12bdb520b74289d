import { CallKind } from '../boundary/kinds.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { Calls, Waiter } from './calls.ts';
import { Connection, type Listener } from './net.ts';
import { runtime } from './runtime.ts';
import { Direction, failure, lend } from './transfer.ts';

/**
 * Receives and sends that are started now and taken when they are done, without a promise or any other
 * allocation each: what a server that counts nanoseconds is made of. An {@link Operation} is made once and used
 * again and again; a {@link CompletionQueue} gives the finished ones in the order in which they finished.
 */
export class Operation implements Waiter {
  readonly #queue: CompletionQueue;
  readonly #calls: Calls = runtime().calls;
  #kind = 0;
  #direction = 0;
  #view: Uint8Array<ArrayBuffer> = EMPTY;
  #offset = 0;
  #length = 0;
  #payload = 0;
  #result = 0;
  #running = false;
  /** The next finished operation of the queue. */
  next: Operation | undefined;

  constructor(queue: CompletionQueue) {
    this.#queue = queue;
  }

  /** Starts to receive at most `length` bytes into `view` from `offset`. Until it is taken the bytes are the operation's. */
  receive(
    connection: Connection,
    view: Uint8Array<ArrayBuffer>,
    offset = 0,
    length: number = view.length - offset,
  ): void {
    this.#start(CallKind.receive, connection.hostHandle, view, offset, length, Direction.in);
  }

  /** Starts to send `length` bytes of `view` from `offset`. They may be changed again at once only under a ring; wait. */
  send(
    connection: Connection,
    view: Uint8Array<ArrayBuffer>,
    offset = 0,
    length: number = view.length - offset,
  ): void {
    this.#start(CallKind.send, connection.hostHandle, view, offset, length, Direction.out);
  }

  /** Starts to wait for a connection; {@link connection} takes it. */
  accept(listener: Listener): void {
    this.#start(CallKind.accept, listener.hostHandle, EMPTY, 0, 0, Direction.none);
  }

  /** The connection that a finished {@link accept} brought; once each. */
  connection(): Connection {
    if (this.#kind !== CallKind.accept || this.#result < 0) throw this.error();
    return new Connection(this.#result);
  }

  #start(
    kind: number,
    handle: number,
    view: Uint8Array<ArrayBuffer>,
    offset: number,
    length: number,
    direction: number,
  ): void {
    if (this.#running)
      throw new InvalidArgumentError('the operation is running; take it from its queue first');
    if (offset < 0 || length < 0 || offset + length > view.length) {
      throw new InvalidArgumentError(`${length} bytes from ${offset} do not lie in a view of ${view.length}`);
    }
    this.#kind = kind;
    this.#direction = direction;
    this.#view = view;
    this.#offset = offset;
    this.#length = length;
    this.#payload = lend(this.#calls, view, offset, length, direction);
    this.#running = true;
    this.#queue.running++;
    try {
      this.#calls.start(kind, handle, this.#payload, length, 0, 0, 0, 0, 0, 0, -1, 0, this);
    } catch (error) {
      if (this.#running) this.#queue.running--;
      this.#running = false;
      throw error;
    }
  }

  settle(result: number): void {
    const length = this.#length;
    if (length > 0) {
      const { port } = this.#calls;
      if (result > 0 && this.#direction === Direction.in) {
        port.copyIn(this.#payload, this.#view, this.#offset, Math.min(result, length));
      }
      port.release(this.#payload);
    }
    this.#result = result;
    this.#queue.add(this);
  }

  /** From its start until the queue gives it. */
  get running(): boolean {
    return this.#running;
  }

  /** Told by the queue that it was given. */
  taken(): void {
    this.#running = false;
  }

  /** Bytes received or sent, or a negative error number: read once the queue has given the operation. */
  get result(): number {
    return this.#result;
  }

  /** The error that a negative {@link result} stands for. */
  error(): Error {
    return failure(this.#kind, this.#result);
  }
}

const EMPTY = new Uint8Array(0);

/** Finished operations, first finished first. */
export class CompletionQueue {
  readonly #calls: Calls = runtime().calls;
  #first: Operation | undefined;
  #last: Operation | undefined;
  /** Operations that were started and not yet given. */
  running = 0;

  /** Told by an operation that it is finished. */
  add(operation: Operation): void {
    operation.next = undefined;
    if (this.#last === undefined) this.#first = operation;
    else this.#last.next = operation;
    this.#last = operation;
  }

  readonly #any = (): boolean => this.#first !== undefined;

  /**
   * The next finished operation; waits for one on this thread. `undefined` when none is running, or when
   * `timeout` milliseconds passed without one.
   */
  take(timeout: number = Number.POSITIVE_INFINITY): Operation | undefined {
    if (this.#first === undefined) {
      if (this.running === 0 || !this.#calls.waitUntil(this.#any, timeout)) return undefined;
    }
    const operation = this.#first as Operation;
    this.#first = operation.next;
    if (this.#first === undefined) this.#last = undefined;
    this.running--;
    operation.taken();
    return operation;
  }
}
