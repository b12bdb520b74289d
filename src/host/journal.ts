import { COUNTERS, COUNTERS_BYTES, Counters } from '../boundary/counters.ts';
import { CallKind } from '../boundary/kinds.ts';
import { CALLS_IN_FLIGHT_MAX, HANDLES_MAX } from '../limits.ts';
import { closeDescriptor } from '../linux/events.ts';

/**
 * What outlives a worker: how far it was, which calls it had taken, what its handles stand for, and what it
 * counted. It lies in memory that the host's threads share and the enclave never sees; the worker of the
 * channel is its one writer. A worker may die between any two statements, so each step is written in the order
 * that leaves its successor something true.
 */
const Word = {
  submissionsTaken: 0,
  completionsWritten: 1,
  /** A handle, plus one, that was opened for a call which is not yet answered. */
  opening: 2,
  /** The number of the last sleep: the enclave wakes each number once. */
  sleeps: 3,
  /** A descriptor, plus one. */
  epoll: 4,
  /** Non-zero once a worker was ready to serve. */
  served: 5,
} as const;

/** What a handle stands for, where a successor can make it again from its descriptor. */
export const ResourceType = { none: 0, other: 1, socket: 2, poller: 3 } as const;

const SLOT_MASK = CALLS_IN_FLIGHT_MAX - 1;
const WORDS_BYTES = 64;
const NO_DESCRIPTOR = -1;

export class Journal {
  readonly buffer: SharedArrayBuffer;
  readonly counters: Counters;
  readonly #words: Int32Array;
  /** The id of the call that was taken in each slot, zero once it is answered. */
  readonly #ids: Int32Array;
  readonly #kinds: Uint8Array;
  /** Beside each call in flight: the handle that it closes, or the descriptor of its connection in progress. */
  readonly #operands: Int32Array;
  readonly #types: Uint8Array;
  readonly #descriptors: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(JOURNAL_BYTES)) {
    let offset = 0;
    const take = (bytes: number): number => {
      offset += bytes;
      return offset - bytes;
    };
    this.buffer = buffer;
    this.counters = new Counters(new Float64Array(buffer, take(COUNTERS_BYTES), COUNTERS));
    this.#words = new Int32Array(buffer, take(WORDS_BYTES), WORDS_BYTES / 4);
    this.#ids = new Int32Array(buffer, take(CALLS_IN_FLIGHT_MAX * 4), CALLS_IN_FLIGHT_MAX);
    this.#operands = new Int32Array(buffer, take(CALLS_IN_FLIGHT_MAX * 4), CALLS_IN_FLIGHT_MAX);
    this.#descriptors = new Int32Array(buffer, take(HANDLES_MAX * 4), HANDLES_MAX);
    this.#kinds = new Uint8Array(buffer, take(CALLS_IN_FLIGHT_MAX), CALLS_IN_FLIGHT_MAX);
    this.#types = new Uint8Array(buffer, take(HANDLES_MAX), HANDLES_MAX);
  }

  get submissionsTaken(): number {
    return this.#words[Word.submissionsTaken] as number;
  }

  get completionsWritten(): number {
    return this.#words[Word.completionsWritten] as number;
  }

  get sleeps(): number {
    return this.#words[Word.sleeps] as number;
  }

  get served(): boolean {
    return this.#words[Word.served] !== 0;
  }

  /** Notes a call, then that the ring is read as far as `taken`. Who dies in between has not begun to serve it. */
  take(id: number, kind: number, handle: number, taken: number): void {
    const slot = id & SLOT_MASK;
    this.#kinds[slot] = kind;
    this.#operands[slot] = kind === CallKind.close ? handle : NO_DESCRIPTOR;
    this.#ids[slot] = id;
    this.#words[Word.submissionsTaken] = taken;
  }

  /** The kind of the call that was taken last in the slot of `id`. */
  kindOf(id: number): number {
    return this.#kinds[id & SLOT_MASK] as number;
  }

  /** Notes that the answer of a call stands in the ring, which is written as far as `written`. */
  answer(id: number, written: number): void {
    this.#ids[id & SLOT_MASK] = 0;
    this.#words[Word.opening] = 0;
    this.#words[Word.completionsWritten] = written;
  }

  /** Forgets a call that was noted and not begun. */
  untake(id: number): void {
    if (this.#ids[id & SLOT_MASK] === id) this.#ids[id & SLOT_MASK] = 0;
  }

  /** Notes the descriptor of a connection in progress, which has no handle yet. */
  connecting(id: number, descriptor: number): void {
    this.#operands[id & SLOT_MASK] = descriptor;
  }

  open(handle: number, type: number, descriptor: number): void {
    this.#words[Word.opening] = handle + 1;
    this.#descriptors[handle] = descriptor;
    this.#types[handle] = type;
  }

  /** Comes before its descriptor is closed: a number that is closed may at once be someone else's. */
  close(handle: number): void {
    this.#types[handle] = ResourceType.none;
  }

  sleep(number: number): void {
    this.#words[Word.sleeps] = number;
  }

  serve(epoll: number): void {
    this.#words[Word.epoll] = epoll + 1;
    this.#words[Word.served] = 1;
  }

  /** Notes that the worker has closed all it had, as it was told. */
  end(): void {
    this.#words[Word.epoll] = 0;
    this.#ids.fill(0);
  }

  /** Calls that were taken and not answered, with the operand of each. */
  *inFlight(): Generator<{ id: number; kind: number; operand: number }> {
    for (let slot = 0; slot < CALLS_IN_FLIGHT_MAX; slot++) {
      const id = this.#ids[slot] as number;
      if (id === 0) continue;
      yield { id, kind: this.#kinds[slot] as number, operand: this.#operands[slot] as number };
    }
  }

  /** The handles that are open, but for one that the enclave was never told of. */
  *handles(): Generator<{ handle: number; type: number; descriptor: number }> {
    for (let handle = 0; handle < HANDLES_MAX; handle++) {
      const type = this.#types[handle] as number;
      if (type === ResourceType.none) continue;
      yield { handle, type, descriptor: this.#descriptors[handle] as number };
    }
  }

  /** The handle that was opened for a call whose answer was never written; -1 when there is none. */
  get unannounced(): number {
    return (this.#words[Word.opening] as number) - 1;
  }

  /** The epoll of the worker that wrote last; -1 when there is none. */
  get epoll(): number {
    return (this.#words[Word.epoll] as number) - 1;
  }

  /** Closes every descriptor that a dead worker left, for who has no successor. */
  closeDescriptors(): void {
    for (const { kind, operand } of this.inFlight()) {
      if (kind === CallKind.connect && operand >= 0) closeDescriptor(operand);
    }
    for (const { handle, descriptor } of this.handles()) {
      this.close(handle);
      if (descriptor >= 0) closeDescriptor(descriptor);
    }
    if (this.epoll >= 0) closeDescriptor(this.epoll);
    this.end();
  }
}

const JOURNAL_BYTES: number = COUNTERS_BYTES + WORDS_BYTES + CALLS_IN_FLIGHT_MAX * 9 + HANDLES_MAX * 5;
