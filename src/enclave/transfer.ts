import { getSystemErrorName } from 'node:util';
import { Count } from '../boundary/counters.ts';
import { CallKind, ruleOf } from '../boundary/kinds.ts';
import { AbortError, InvalidArgumentError, SgxioError, SystemError, TimeoutError } from '../errors.ts';
import type { Calls, Waiter } from './calls.ts';
import { forgetHandle } from './handles.ts';
import { runtime } from './runtime.ts';

/** Sends in a row that may take nothing before the peer, or the host, is taken for broken. */
const EMPTY_SENDS_MAX = 16;

/** Which way the payload of a call goes. */
export const Direction = { none: 0, out: 1, in: 2, both: 3 } as const;

const NOTHING = new Uint8Array(0);

/** One call with its payload: `length` bytes of `view` from `offset`. */
export interface Transfer {
  readonly kind: number;
  readonly handle: number;
  readonly view?: Uint8Array<ArrayBuffer>;
  readonly offset?: number;
  readonly length?: number;
  readonly direction?: number;
  readonly a0?: number;
  readonly a1?: number;
  readonly a2?: number;
  readonly a3?: number;
  /** The largest result, for kinds whose rule asks for it. */
  readonly limit?: number;
  /** Bytes of payload that come in for each one of the result; 1 unless told. */
  readonly unit?: number;
  /** Names what the call was about, for errors. */
  readonly detail?: string;
  /** The path that the call names, for errors. */
  readonly path?: string;
}

/** When to give a call up. */
export interface CallOptions {
  /** Milliseconds from now. */
  readonly timeout?: number;
}

export interface AsyncCallOptions extends CallOptions {
  readonly signal?: AbortSignal;
}

/** The error that a negative result stands for. */
export function failure(kind: number, result: number, detail = '', path?: string): SystemError {
  return new SystemError(getSystemErrorName(result), result, ruleOf(kind).syscall, detail || path, path);
}

/** Refuses what is no view of private memory: bytes that others can change are never read or written here. */
export function requirePrivate(view: Uint8Array<ArrayBuffer>): void {
  if (view instanceof Uint8Array && view.buffer instanceof ArrayBuffer) return;
  throw new InvalidArgumentError(
    'bytes are a Uint8Array over an ArrayBuffer; copy them out of shared memory first',
  );
}

/** Finds room for a payload and, where the host is to read it, copies it there. */
export function lend(
  calls: Calls,
  view: Uint8Array<ArrayBuffer>,
  offset: number,
  length: number,
  direction: number,
): number {
  requirePrivate(view);
  if (length === 0) return 0;
  const payload = calls.port.reserve(view, offset, length);
  if (payload < 0) {
    calls.counters.add(Count.arenaFull);
    throw new SgxioError(
      'SGXIO_CHANNEL_FULL',
      'the payload room of this thread is taken by calls in flight; await some',
    );
  }
  if ((direction & Direction.out) !== 0) calls.port.copyOut(payload, view, offset, length);
  return payload;
}

/**
 * Makes a call and waits for it; the thread does nothing else meanwhile. Returns the result (0 or more), with
 * as many bytes copied in when the payload comes in, or throws a {@link SystemError}.
 */
export function callSync(transfer: Transfer, options?: CallOptions): number {
  const { calls } = runtime();
  const { view = NOTHING, offset = 0, length = 0, direction = Direction.none } = transfer;
  const timeout = milliseconds(options);
  const payload = lend(calls, view, offset, length, direction);
  return finishCall(transfer, calls, payload, startCall(transfer, calls, payload, timeout), timeout);
}

/** A call that was started and goes on until it is finished or dropped, one of the two. */
export class StartedCall implements Waiter {
  readonly #calls: Calls;
  readonly #transfer: Transfer;
  readonly #payload: number;
  readonly #slot: number;
  /** From the time on that somebody waits for it without keeping the thread waiting. */
  #arrival: Promise<void> | undefined;
  #arrive: () => void = () => {};
  #result: number | undefined;

  private constructor(transfer: Transfer, calls: Calls) {
    const { view = NOTHING, offset = 0, length = 0, direction = Direction.none } = transfer;
    this.#transfer = transfer;
    this.#calls = calls;
    this.#payload = lend(calls, view, offset, length, direction);
    this.#slot = startCall(transfer, calls, this.#payload, -1);
  }

  /** Undefined where nothing goes on while the thread does, and where calls in flight take all room. */
  static start(transfer: Transfer): StartedCall | undefined {
    const { calls } = runtime();
    if (calls.port.inPlace) return undefined;
    try {
      return new StartedCall(transfer, calls);
    } catch (error) {
      if (error instanceof SgxioError && error.code === 'SGXIO_CHANNEL_FULL') return undefined;
      throw error;
    }
  }

  /** Whether {@link finish} does not wait. */
  get isDone(): boolean {
    if (!this.#isAnswered()) this.#calls.port.poll();
    return this.#isAnswered();
  }

  #isAnswered(): boolean {
    return this.#result !== undefined || this.#calls.isDone(this.#slot);
  }

  /** When it is done, or dropped. */
  arrived(): Promise<void> {
    if (this.isDone) return Promise.resolve();
    this.#arrival ??= new Promise((resolve) => {
      this.#arrive = resolve;
      this.#calls.tell(this.#slot, this);
    });
    return this.#arrival;
  }

  settle(result: number): void {
    this.#result = result;
    this.#arrive();
  }

  /** What {@link callSync} returns. What comes in goes into `target`, which has the length of the call. */
  finish(target?: Uint8Array<ArrayBuffer>): number {
    const transfer = target === undefined ? this.#transfer : { ...this.#transfer, view: target };
    if (this.#arrival === undefined) return finishCall(transfer, this.#calls, this.#payload, this.#slot, -1);
    this.#calls.waitUntil(() => this.#result !== undefined, Number.POSITIVE_INFINITY);
    return takeAnswer(transfer, this.#calls, this.#payload, this.#result!);
  }

  /** Its answer is not wanted any more. */
  drop(): void {
    if (this.#result === undefined) this.#calls.abandon(this.#slot);
    else if ((this.#transfer.length ?? 0) > 0) this.#calls.port.release(this.#payload);
    this.#arrive();
  }
}

function startCall(transfer: Transfer, calls: Calls, payload: number, timeout: number): number {
  const { kind, handle, length = 0, a0 = 0, a1 = 0, a2 = 0, a3 = 0, limit = 0 } = transfer;
  return calls.start(kind, handle, payload, length, a0, a1, a2, a3, 0, 0, timeout, limit, undefined);
}

function finishCall(
  transfer: Transfer,
  calls: Calls,
  payload: number,
  slot: number,
  timeout: number,
): number {
  return takeAnswer(transfer, calls, payload, calls.finish(slot, timeout));
}

function takeAnswer(transfer: Transfer, calls: Calls, payload: number, result: number): number {
  const { kind, view = NOTHING, offset = 0, length = 0, direction = Direction.none, unit = 1 } = transfer;
  if (length > 0) {
    if (result > 0 && (direction & Direction.in) !== 0) {
      calls.port.copyIn(payload, view, offset, Math.min(result * unit, length));
    }
    calls.port.release(payload);
  }
  if (result < 0) throw failure(kind, result, transfer.detail, transfer.path);
  return result;
}

function milliseconds(options: CallOptions | undefined): number {
  const timeout = options?.timeout;
  if (timeout === undefined || timeout === Number.POSITIVE_INFINITY) return -1;
  if (typeof timeout !== 'number' || Number.isNaN(timeout)) {
    throw new InvalidArgumentError('a timeout is a number of milliseconds');
  }
  return Math.min(Math.max(0, Math.ceil(timeout)), 0x7fff_ffff);
}

/** The asynchronous form of {@link callSync}: the thread goes on with other tasks meanwhile. */
export function callAsync(transfer: Transfer, options?: AsyncCallOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    new AsyncCall(transfer, options, resolve, reject).start();
  });
}

class AsyncCall implements Waiter {
  readonly #calls: Calls;
  readonly #transfer: Transfer;
  readonly #options: AsyncCallOptions | undefined;
  readonly #resolve: (result: number) => void;
  readonly #reject: (error: unknown) => void;
  #slot = -1;
  #payload = 0;
  #timer: NodeJS.Timeout | undefined;
  #settled = false;

  constructor(
    transfer: Transfer,
    options: AsyncCallOptions | undefined,
    resolve: (result: number) => void,
    reject: (error: unknown) => void,
  ) {
    this.#calls = runtime().calls;
    this.#transfer = transfer;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    const signal = this.#options?.signal;
    if (signal?.aborted === true) throw aborted(signal);
    const {
      kind,
      handle,
      view = NOTHING,
      offset = 0,
      length = 0,
      direction = Direction.none,
    } = this.#transfer;
    const { a0 = 0, a1 = 0, a2 = 0, a3 = 0, limit = 0 } = this.#transfer;
    const timeout = milliseconds(this.#options);
    const calls = this.#calls;
    this.#payload = lend(calls, view, offset, length, direction);
    signal?.addEventListener('abort', this.#abort, { once: true });
    try {
      this.#slot = calls.start(
        kind,
        handle,
        this.#payload,
        length,
        a0,
        a1,
        a2,
        a3,
        0,
        0,
        timeout,
        limit,
        this,
      );
    } catch (error) {
      this.#end();
      throw error;
    }
    if (!this.#settled) this.#limitPatience(calls.patience(this.#slot, timeout));
  }

  #limitPatience(milliseconds: number): void {
    if (milliseconds === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => this.#giveUp(late(this.#transfer.kind, milliseconds)),
      Math.min(milliseconds, 0x7fff_ffff),
    );
  }

  settle(result: number): void {
    this.#end();
    const {
      kind,
      view = NOTHING,
      offset = 0,
      length = 0,
      direction = Direction.none,
      detail,
      path,
      unit = 1,
    } = this.#transfer;
    const port = this.#calls.port;
    if (length > 0) {
      // A buffer that was given away or shrunk meanwhile has no room any more.
      if (result > 0 && (direction & Direction.in) !== 0 && view.length >= offset + length)
        port.copyIn(this.#payload, view, offset, Math.min(result * unit, length));
      port.release(this.#payload);
    }
    if (result < 0) this.#reject(failure(kind, result, detail, path));
    else this.#resolve(result);
  }

  readonly #abort = (): void => this.#giveUp(aborted(this.#options?.signal as AbortSignal));

  /** Ends the call for the program now; the host is asked to end it too, and owns the payload until it answers. */
  #giveUp(error: Error): void {
    const id = this.#calls.idOf(this.#slot);
    this.#calls.abandon(this.#slot);
    this.#end();
    this.#reject(error);
    this.#calls.cancel(id);
  }

  #end(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#options?.signal?.removeEventListener('abort', this.#abort);
  }
}

/** Closes a handle; it is forgotten the moment the host has answered, before any later answer is looked at. */
export function closeAsync(handle: number): Promise<void> {
  const { calls } = runtime();
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const settle = (result: number): void => {
      clearTimeout(timer);
      forgetHandle(handle);
      if (result < 0) reject(failure(CallKind.close, result));
      else resolve();
    };
    const slot = calls.start(CallKind.close, handle, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, { settle });
    if (calls.isFree(slot)) return;
    const patience = calls.patience(slot, -1);
    timer = setTimeout(() => {
      calls.abandon(slot);
      reject(late(CallKind.close, patience));
    }, patience);
  });
}

function late(kind: number, milliseconds: number): TimeoutError {
  return new TimeoutError(`the host did not answer ${ruleOf(kind).syscall} within ${milliseconds} ms`);
}

export function closeSync(handle: number): void {
  const result = runtime().calls.call(CallKind.close, handle, 0, 0);
  forgetHandle(handle);
  if (result < 0) throw failure(CallKind.close, result);
}

function aborted(signal: AbortSignal): AbortError {
  return new AbortError('the call was aborted', { cause: signal.reason });
}

/** How many sends in a row took nothing, now that one took `count` bytes; too many are an error. */
export function nextEmpty(empty: number, count: number): number {
  if (count > 0) return 0;
  if (empty >= EMPTY_SENDS_MAX)
    throw new SgxioError('SGXIO_TIMED_OUT', 'the host takes no bytes, again and again');
  return empty + 1;
}
