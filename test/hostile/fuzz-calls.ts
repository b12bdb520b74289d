import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { CallKind, type CallKindName, callRules } from '../../src/boundary/kinds.ts';
import type { Waiter } from '../../src/enclave/calls.ts';
import { HostViolation } from '../../src/errors.ts';
import { HANDLES_MAX, RING_ENTRIES } from '../../src/limits.ts';
import { InProcessHost } from '../support/in-process-host.ts';

/**
 * Interprets numbers as what a host and a program do to one channel, legal or not, and compares the enclave's
 * real calls and port with a plain model of what may come of each: an answer that fits a call in flight is
 * passed on, once and unchanged; anything else is a violation, and then nothing goes on.
 */
const KINDS = Object.keys(CallKind) as CallKindName[];
const LENGTHS = [0, 1, 64, 300, 5000] as const;
const ERRNO_MAX = 133;
const EIO = 5;
const GUARD = 32;

interface Flying {
  readonly id: number;
  readonly slot: number;
  readonly kind: CallKindName;
  readonly limit: number;
  readonly length: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly told: number[];
  isAbandoned: boolean;
  readonly isWaited: boolean;
}

interface Entry {
  readonly id: number;
  readonly result: number;
}

function allows(kind: CallKindName, errno: number): boolean {
  return callRules[kind].errors.some(
    (name) => constants.errno[name as keyof typeof constants.errno] === errno,
  );
}

function limitOf(kind: CallKindName, length: number, limit: number): number {
  const rule = callRules[kind].result;
  return { zero: 0, handle: HANDLES_MAX - 1, length, limit }[rule];
}

class Fuzzed {
  readonly #host = new InProcessHost();
  readonly #flying: Flying[] = [];
  readonly #old: number[] = [];
  /** Entries in the ring that the enclave has not taken yet. */
  readonly #entries: Entry[] = [];
  isOver = false;

  constructor() {
    this.#host.takes = false;
  }

  /** Lies are rare, for each ends the script. */
  step(input: number): void {
    const value = input >>> 5;
    const choice = input & 31;
    if (choice < 9) this.#start(value);
    else if (choice < 18) this.#answerLegally(value);
    else if (choice < 22) this.#fail(value);
    else if (choice < 26) this.poll();
    else if (choice < 29) this.#abandon(value);
    else if (choice < 31) this.#scribble(value);
    else if ((value & 15) === 15) this.#put(value * 0x9e37_79b1, input);
    else this.#lie(value);
  }

  #pick(value: number): Flying | undefined {
    return this.#flying[value % Math.max(1, this.#flying.length)];
  }

  #start(value: number): void {
    if (this.#flying.length >= 200) return;
    const { calls, port } = this.#host;
    const kind = KINDS[value % KINDS.length] as CallKindName;
    const length = LENGTHS[(value >>> 6) % LENGTHS.length] as number;
    const limit = (value >>> 9) & 1023;
    const bytes = new Uint8Array(GUARD + length + GUARD);
    const told: number[] = [];
    const isWaited = (value & 1) === 0;
    const payload = length === 0 ? 0 : port.reserve(bytes, GUARD, length);
    const waiter: Waiter = {
      settle: (result) => {
        told.push(result);
        if (length === 0) return;
        if (result > 0) port.copyIn(payload, bytes, GUARD, Math.min(result, length));
        port.release(payload);
      },
    };
    this.#host.bytes.fill(
      value,
      this.#host.layout.arena + payload,
      this.#host.layout.arena + payload + length,
    );
    const slot = calls.start(
      CallKind[kind],
      0,
      payload,
      length,
      0,
      0,
      0,
      0,
      0,
      0,
      -1,
      limit,
      isWaited ? waiter : undefined,
    );
    const id = calls.idOf(slot);
    this.#flying.push({
      id,
      slot,
      kind,
      limit: limitOf(kind, length, limit),
      length,
      bytes,
      told,
      isAbandoned: false,
      isWaited,
    });
    this.#host.serveSilently();
  }

  #put(id: number, result: number): void {
    if (this.#entries.length >= RING_ENTRIES - 1) this.poll();
    if (this.isOver) return;
    this.#host.answer(id, result, result ^ id, id);
    this.#entries.push({ id: id | 0, result: result | 0 });
  }

  #answerLegally(value: number): void {
    const call = this.#pick(value);
    if (call !== undefined) this.#put(call.id, (value >>> 4) % (call.limit + 1));
  }

  #fail(value: number): void {
    const call = this.#pick(value);
    if (call !== undefined) this.#put(call.id, -(1 + ((value >>> 4) % ERRNO_MAX)));
  }

  #lie(value: number): void {
    const call = this.#pick(value >>> 3);
    const id = call?.id ?? 1;
    switch (value & 7) {
      case 0:
        return this.#put(id, (call?.limit ?? 0) + 1 + (value >>> 8));
      case 1:
        return this.#put(id, -ERRNO_MAX - 1 - (value >>> 8));
      case 2:
        return this.#put(id + (1 << 14), 0);
      case 3:
        return this.#put(id ^ 0x2000, 0);
      case 4:
        return this.#put(this.#old[value % Math.max(1, this.#old.length)] ?? 0, 0);
      case 5:
        return this.#put(0, value);
      case 6:
        return this.#put(-id, 0);
      default:
        return this.#put(id, 0x7fff_ffff);
    }
  }

  /** Writes into words that the enclave does not go by. */
  #scribble(value: number): void {
    const { words, layout } = this.#host;
    const places = [layout.completionsTaken, layout.enclaveParked, layout.hostParked, layout.bell];
    Atomics.store(words, (places[value & 3] as number) >> 2, value << 3);
    words.fill(value, layout.arena >> 2, (layout.arena >> 2) + 64);
  }

  #abandon(value: number): void {
    const call = this.#pick(value);
    // What comes for such a call goes back by a call of its own.
    if (call === undefined || call.isAbandoned || callRules[call.kind].result === 'handle') return;
    call.isAbandoned = true;
    this.#host.calls.abandon(call.slot);
  }

  /** Takes what is in the ring, which must go as the model says. */
  poll(): void {
    const expected: { call: Flying; result: number }[] = [];
    let isViolation = false;
    for (const { id, result } of this.#entries.splice(0)) {
      const index = this.#flying.findIndex((call) => call.id === id);
      const call = this.#flying[index];
      if (call === undefined || result > call.limit || result < -ERRNO_MAX) {
        isViolation = true;
        break;
      }
      this.#flying.splice(index, 1);
      this.#old.push(id);
      expected.push({ call, result: result < 0 && !allows(call.kind, -result) ? -EIO : result });
    }
    let thrown: unknown;
    try {
      this.#host.port.poll();
    } catch (error) {
      thrown = error;
    }
    this.isOver = isViolation;
    assert.equal(thrown instanceof HostViolation, isViolation, String(thrown));
    if (!isViolation) assert.equal(thrown, undefined);
    for (const { call, result } of expected) this.#check(call, result);
    if (isViolation) assert.throws(() => this.#start(0), HostViolation);
  }

  #check(call: Flying, result: number): void {
    const { bytes, length, told } = call;
    const isTold = call.isWaited && !call.isAbandoned;
    assert.equal(told.length, isTold ? 1 : 0);
    if (isTold) assert.equal(told[0], result);
    const copied = isTold ? Math.max(0, Math.min(result, length)) : 0;
    assert.ok(
      isZero(bytes, 0, GUARD) && isZero(bytes, GUARD + copied, bytes.length),
      'bytes beyond the result',
    );
    if (call.isWaited || call.isAbandoned) return;
    assert.ok(this.#host.calls.isDone(call.slot));
    assert.equal(this.#host.calls.finish(call.slot), result);
  }
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let index = start; index < end; index++) if (bytes[index] !== 0) return false;
  return true;
}

/** Runs one script of inputs; says how many were used before a violation ended it. */
export function fuzzCalls(script: readonly number[]): number {
  const fuzzed = new Fuzzed();
  let used = 0;
  for (const input of script) {
    if (fuzzed.isOver) break;
    fuzzed.step(input);
    used++;
  }
  if (!fuzzed.isOver) fuzzed.poll();
  return used;
}
