import { Count, Counters } from '../boundary/counters.ts';
import {
  CallKind,
  isErrno,
  mayFailWith,
  RESULT_HANDLE,
  resultLimit,
  resultRuleOf,
  ruleOf,
} from '../boundary/kinds.ts';
import type { CompletionSink, Port } from '../boundary/port.ts';
import type { WaitPolicy } from '../boundary/waiting.ts';
import { HostViolation, SgxioError, TimeoutError } from '../errors.ts';
import { CALLS_IN_FLIGHT_MAX, CALLS_KEPT_FOR_ENDING } from '../limits.ts';
import { adoptHandle, forgetHandle } from './handles.ts';

const SLOT_BITS = 14;
const SLOT_MASK = CALLS_IN_FLIGHT_MAX - 1;
const GENERATION_MAX = 0x1_ffff;
const EIO = 5;
/** The host is shown the counters anew after so many calls, and whenever this thread is about to sleep. */
const CALLS_A_REPORT = 1024;
/** How long a call may take that an honest host answers at once, in milliseconds. */
const PROMPT_MILLISECONDS_MAX = 60_000;
/** How much later than a call's own deadline the host may say that it passed, in milliseconds. */
const GRACE_MILLISECONDS = 2000;

const FREE = 0;
const IN_FLIGHT = 1;
const DONE = 2;
/** Given up by the program; its slot and its payload wait for the host's answer before they are used again. */
const ABANDONED = 3;

/** What is told of an answer the moment it is taken; the values are checked. */
export interface Waiter {
  settle(result: number, extra0: number, extra1: number): void;
}

/**
 * The calls of one enclave thread. All books are private: which calls are in flight, of which generation, and
 * what each may answer. An answer that does not fit them is a {@link HostViolation}, after which nothing from
 * this host is believed any more.
 */
export class Calls implements CompletionSink {
  #port: Port | undefined;
  readonly #policy: WaitPolicy;
  readonly #state = new Uint8Array(CALLS_IN_FLIGHT_MAX);
  /** The id of the call in each slot, zero while none is in flight. Never zero for a call: generations start at 1. */
  readonly #ids = new Int32Array(CALLS_IN_FLIGHT_MAX);
  readonly #generations = new Int32Array(CALLS_IN_FLIGHT_MAX);
  readonly #kinds = new Uint8Array(CALLS_IN_FLIGHT_MAX);
  readonly #limits = new Int32Array(CALLS_IN_FLIGHT_MAX);
  readonly #results = new Int32Array(CALLS_IN_FLIGHT_MAX);
  readonly #extras0 = new Int32Array(CALLS_IN_FLIGHT_MAX);
  readonly #extras1 = new Int32Array(CALLS_IN_FLIGHT_MAX);
  readonly #payloads = new Float64Array(CALLS_IN_FLIGHT_MAX).fill(-1);
  readonly #waiters: (Waiter | undefined)[] = new Array(CALLS_IN_FLIGHT_MAX).fill(undefined);
  readonly #free = new Int32Array(CALLS_IN_FLIGHT_MAX);
  #freeCount = CALLS_IN_FLIGHT_MAX;
  #violation: HostViolation | undefined;
  /** Told of every call that is started with a waiter, so that the event loop looks for its answer. */
  onWaiter: () => void = () => {};
  /** Told of the first violation before anything else happens: a program must not catch it and go on. */
  onViolation: (violation: HostViolation) => void = () => {};
  /** Throws when the enclave is to stop. */
  checkStop: () => void = () => {};

  /** The two more words of the answer that {@link finish} returned last. */
  extra0 = 0;
  extra1 = 0;
  /** Calls that a waiter is to be told of. */
  waiting = 0;
  /** Kept privately; what the host sees of them is a copy. */
  readonly counters: Counters = new Counters();
  #untilReport = CALLS_A_REPORT;
  /** Shows the host what was counted. */
  report: () => void = () => {};

  constructor(policy: WaitPolicy) {
    this.#policy = policy;
    for (let index = 0; index < CALLS_IN_FLIGHT_MAX; index++)
      this.#free[index] = CALLS_IN_FLIGHT_MAX - 1 - index;
  }

  /** The port and the calls know each other; this closes the circle, once. */
  connect(port: Port): void {
    this.#port = port;
  }

  get port(): Port {
    return this.#port as Port;
  }

  get inFlight(): number {
    return CALLS_IN_FLIGHT_MAX - this.#freeCount;
  }

  /**
   * Starts a call and says in which slot. With a waiter the slot is freed when the waiter has been told;
   * without, {@link finish} takes the answer. `payload` is room of the port (0 with a length of 0); the call
   * owns it until it is answered, and then who started it gives it back. When waiting for the answer throws,
   * the call keeps it: the host may still write there. When starting throws, nothing was asked, and the payload
   * is given back already.
   */
  start(
    kind: number,
    handle: number,
    payload: number,
    length: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    a4: number,
    a5: number,
    timeout: number,
    limit: number,
    waiter: Waiter | undefined,
  ): number {
    if (this.#violation !== undefined) throw this.#violation;
    const count = this.#freeCount;
    if (count <= CALLS_KEPT_FOR_ENDING && (count === 0 || !ends(kind))) this.#refuse(payload, length);
    this.#freeCount = count - 1;
    const slot = this.#free[count - 1] as number;
    const generation =
      (this.#generations[slot] as number) >= GENERATION_MAX ? 1 : (this.#generations[slot] as number) + 1;
    this.#generations[slot] = generation;
    const id = (generation << SLOT_BITS) | slot;
    this.#ids[slot] = id;
    this.#state[slot] = IN_FLIGHT;
    this.#kinds[slot] = kind;
    this.#limits[slot] = resultLimit(kind, length, limit);
    this.#payloads[slot] = length > 0 ? payload : -1;
    this.counters.begin(id, kind, CALLS_IN_FLIGHT_MAX - count + 1);
    if (--this.#untilReport === 0) this.#reportSoon();
    if (waiter !== undefined) {
      this.#waiters[slot] = waiter;
      this.waiting++;
      this.onWaiter();
    }
    try {
      this.port.submit(kind, id, handle, payload, length, a0, a1, a2, a3, a4, a5, timeout);
    } catch (error) {
      this.#withdraw(slot, id);
      throw error;
    }
    return slot;
  }

  /** Undoes the start of a call that could not be handed over. */
  #withdraw(slot: number, id: number): void {
    if (this.#violation !== undefined || this.#ids[slot] !== id) return;
    this.#ids[slot] = 0;
    this.#forgetWaiter(slot);
    this.#releaseWithPayload(slot);
  }

  #refuse(payload: number, length: number): never {
    if (length > 0) this.port.release(payload);
    this.counters.add(Count.channelFull);
    throw new SgxioError('SGXIO_CHANNEL_FULL', `${this.inFlight} calls are in flight already; await some`);
  }

  #reportSoon(): void {
    this.#untilReport = CALLS_A_REPORT;
    this.report();
  }

  /** Takes one answer from the port: checked against the books, then kept or told. */
  complete(id: number, result: number, extra0: number, extra1: number): void {
    const slot = id & SLOT_MASK;
    if (this.#ids[slot] !== id || id === 0)
      this.#violate(`an answer came for call ${id}, which is not in flight`);
    const kind = this.#kinds[slot] as number;
    const checked = this.#check(kind, result, this.#limits[slot] as number);
    this.counters.end(id, kind, checked);
    this.#ids[slot] = 0;
    const state = this.#state[slot];
    if (state === ABANDONED) {
      this.#releaseWithPayload(slot);
      if (checked >= 0 && resultRuleOf[kind] === RESULT_HANDLE) this.#closeOrphan(checked);
      return;
    }
    const waiter = this.#waiters[slot];
    if (waiter === undefined) {
      this.#results[slot] = checked;
      this.#extras0[slot] = extra0;
      this.#extras1[slot] = extra1;
      this.#state[slot] = DONE;
      return;
    }
    this.#waiters[slot] = undefined;
    this.waiting--;
    this.#release(slot);
    waiter.settle(checked, extra0, extra1);
  }

  /** What an answer of this kind may be: a value within its limit, or an error that the kind can have. */
  #check(kind: number, result: number, limit: number): number {
    if (result >= 0) {
      if (result > limit) this.#violate(`${ruleOf(kind).syscall} answered ${result}, more than ${limit}`);
      return result;
    }
    if (!isErrno(-result))
      this.#violate(`${ruleOf(kind).syscall} failed with the number ${-result}, which is no error`);
    return mayFailWith(kind, -result) ? result : -EIO;
  }

  /** A handle that came for a call given up is nobody's: it goes back to the host, which else would keep it open. */
  #closeOrphan(handle: number): void {
    adoptHandle(this, handle);
    queueMicrotask(() => {
      if (this.#freeCount === 0 || this.#violation !== undefined) return;
      this.start(CallKind.close, handle, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, {
        settle: () => forgetHandle(handle),
      });
    });
  }

  #violate(message: string): never {
    const violation = new HostViolation(message);
    this.#violation = violation;
    this.onViolation(violation);
    throw violation;
  }

  /** Marks this channel as one whose host lied, from a check made elsewhere on what it sent. */
  violate(message: string): never {
    return this.#violate(message);
  }

  #release(slot: number): void {
    this.#state[slot] = FREE;
    this.#free[this.#freeCount++] = slot;
  }

  /** Has a waiter told of a call in flight that was started without one. */
  tell(slot: number, waiter: Waiter): void {
    this.#waiters[slot] = waiter;
    this.waiting++;
    this.onWaiter();
  }

  /** Whether the answer of a call that was started without a waiter is there. */
  isDone(slot: number): boolean {
    return this.#state[slot] === DONE;
  }

  /**
   * Waits for the answer of a call that was started without a waiter, and frees its slot. `timeout` is the one
   * that the call was started with: a host that does not keep it is not waited for much longer.
   */
  finish(slot: number, timeout = -1): number {
    if (this.#state[slot] !== DONE) this.#wait(slot, timeout);
    this.extra0 = this.#extras0[slot] as number;
    this.extra1 = this.#extras1[slot] as number;
    const result = this.#results[slot] as number;
    this.#release(slot);
    return result;
  }

  /** A call from start to answer, on this thread, which does nothing else meanwhile. */
  call(
    kind: number,
    handle: number,
    payload: number,
    length: number,
    a0 = 0,
    a1 = 0,
    a2 = 0,
    a3 = 0,
    timeout = -1,
    limit = 0,
  ): number {
    return this.finish(
      this.start(kind, handle, payload, length, a0, a1, a2, a3, 0, 0, timeout, limit, undefined),
      timeout,
    );
  }

  #wait(slot: number, timeout: number): void {
    const port = this.port;
    for (let polls = this.#policy.pollsWithoutPause; polls > 0; polls--) {
      if (port.poll() > 0 && this.#state[slot] === DONE) return;
    }
    this.counters.add(Count.spins);
    const began = performance.now();
    const spinUntil = began + this.#policy.spinMicroseconds / 1000;
    let sleptAt = Number.POSITIVE_INFINITY;
    const patience = this.patience(slot, timeout);
    for (;;) {
      port.poll();
      if (this.#state[slot] === DONE) break;
      const now = performance.now();
      if (now - began > patience) this.#giveUp(slot, patience);
      if (now < spinUntil) port.yield();
      else {
        this.checkStop();
        this.report();
        sleptAt = Math.min(sleptAt, now);
        port.park(patience - (now - began));
      }
    }
    const ended = performance.now();
    this.#policy.record((ended - began) * 1000, (Math.min(sleptAt, ended) - began) * 1000);
  }

  /** Polls, spins, then sleeps until `ready` says so: for waits on any of several calls. */
  waitUntil(ready: () => boolean, milliseconds: number): boolean {
    const port = this.port;
    for (let polls = this.#policy.pollsWithoutPause; polls > 0; polls--) {
      if (port.poll() > 0 && ready()) return true;
    }
    this.counters.add(Count.spins);
    const began = performance.now();
    const spinUntil = began + this.#policy.spinMicroseconds / 1000;
    let sleptAt = Number.POSITIVE_INFINITY;
    for (;;) {
      port.poll();
      if (ready()) break;
      const now = performance.now();
      const left = milliseconds - (now - began);
      if (left <= 0) return false;
      if (now < spinUntil) port.yield();
      else {
        this.checkStop();
        this.report();
        sleptAt = Math.min(sleptAt, now);
        port.park(left);
      }
    }
    const ended = performance.now();
    this.#policy.record((ended - began) * 1000, (Math.min(sleptAt, ended) - began) * 1000);
    return true;
  }

  /** How long, in milliseconds, the answer of a call in flight may take before the host is taken for dead. */
  patience(slot: number, timeout: number): number {
    if (timeout >= 0) return timeout + GRACE_MILLISECONDS;
    return ruleOf(this.#kinds[slot] as number).prompt ? PROMPT_MILLISECONDS_MAX : Number.POSITIVE_INFINITY;
  }

  /** Whether a slot's call is over: answered, and its waiter told. */
  isFree(slot: number): boolean {
    return this.#state[slot] === FREE;
  }

  #giveUp(slot: number, patience: number): never {
    const syscall = ruleOf(this.#kinds[slot] as number).syscall;
    this.abandon(slot);
    throw new TimeoutError(`the host did not answer ${syscall} within ${patience} ms`);
  }

  /**
   * Gives a call up. Its slot and its payload stay out of use until the host has answered: until then the host
   * may still write there. Who started it does not give the payload back.
   */
  abandon(slot: number): void {
    this.#forgetWaiter(slot);
    if (this.#state[slot] === DONE) this.#releaseWithPayload(slot);
    else this.#state[slot] = ABANDONED;
  }

  /** Asks the host to end a call that was given up; when no slot is free, it ends by itself or not at all. */
  cancel(id: number): void {
    if (this.#freeCount === 0 || this.#violation !== undefined) return;
    this.abandon(this.start(CallKind.cancel, 0, 0, 0, id, 0, 0, 0, 0, 0, -1, 0, undefined));
  }

  #forgetWaiter(slot: number): void {
    if (this.#waiters[slot] === undefined) return;
    this.#waiters[slot] = undefined;
    this.waiting--;
  }

  #releaseWithPayload(slot: number): void {
    const payload = this.#payloads[slot] as number;
    if (payload >= 0) this.port.release(payload);
    this.#release(slot);
  }

  /** The id under which a call in flight is known to the host, to cancel it. */
  idOf(slot: number): number {
    return this.#ids[slot] as number;
  }
}

/** Whether a call of this kind makes room for others. */
function ends(kind: number): boolean {
  return kind === CallKind.close || kind === CallKind.cancel;
}
