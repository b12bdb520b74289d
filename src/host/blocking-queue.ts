import { BLOCKING_CALLS_MAX, BLOCKING_IDLE_MILLISECONDS, FILE_TRANSFER_MAX, PAGE_BYTES } from '../limits.ts';
import { addressOf } from '../linux/ffi.ts';
import type { BlockingArguments } from './blocking.ts';

/**
 * The memory between a worker and the threads that block for it, which no enclave sees. The worker alone
 * writes calls; any thread takes the next one and leaves its result in the same slot.
 */
const Word = { written: 0, taken: 1, idle: 2, alive: 3, starting: 4, stop: 5 } as const;
const SLOTS = 16;
const STATES: number = SLOTS + BLOCKING_CALLS_MAX;
const NUMBERS_OFFSET = 1024;
const NUMBERS = 8;
const RESULT = 7;
const BUFFERS_OFFSET = 2 * PAGE_BYTES;
const MASK: number = BLOCKING_CALLS_MAX - 1;

const State = { free: 0, busy: 1, done: 2 } as const;

export class BlockingQueue {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #numbers: Float64Array<SharedArrayBuffer>;
  readonly #address: number;

  constructor(
    memory: SharedArrayBuffer = new SharedArrayBuffer(
      BUFFERS_OFFSET + BLOCKING_CALLS_MAX * FILE_TRANSFER_MAX,
    ),
  ) {
    this.memory = memory;
    this.#words = new Int32Array(memory, 0, NUMBERS_OFFSET / 4);
    this.#numbers = new Float64Array(memory, NUMBERS_OFFSET, BLOCKING_CALLS_MAX * NUMBERS);
    this.#address = addressOf(new Uint8Array(memory));
  }

  /** The address of the payload of a slot, FILE_TRANSFER_MAX bytes. */
  buffer(slot: number): number {
    return this.#address + BUFFERS_OFFSET + slot * FILE_TRANSFER_MAX;
  }

  /** Hands the call of a free slot over; its payload is in the slot's buffer. */
  put(slot: number, call: BlockingArguments): void {
    const start = slot * NUMBERS;
    const numbers = this.#numbers;
    numbers[start] = call.operation;
    numbers[start + 1] = call.descriptor;
    numbers[start + 2] = call.first;
    numbers[start + 3] = call.second;
    numbers[start + 4] = call.position;
    numbers[start + 5] = call.length;
    const words = this.#words;
    const written = Atomics.load(words, Word.written);
    words[STATES + slot] = State.busy;
    words[SLOTS + (written & MASK)] = slot;
    Atomics.store(words, Word.written, (written + 1) | 0);
    Atomics.notify(words, Word.written, 1);
  }

  /** Whether more calls wait than threads are there, or on their way, to take them. */
  get wantsThread(): boolean {
    const words = this.#words;
    const waiting = (Atomics.load(words, Word.written) - Atomics.load(words, Word.taken)) | 0;
    return waiting > Atomics.load(words, Word.idle) + Atomics.load(words, Word.starting);
  }

  /** The result of a slot whose call is over, which is free from here on; undefined while it is not. */
  takeResult(slot: number): number | undefined {
    if (Atomics.load(this.#words, STATES + slot) !== State.done) return undefined;
    this.#words[STATES + slot] = State.free;
    return this.#numbers[slot * NUMBERS + RESULT];
  }

  /** Threads that have not begun to end. */
  get alive(): number {
    return Atomics.load(this.#words, Word.alive);
  }

  /** Counts a thread that is about to be started. */
  countStart(): void {
    Atomics.add(this.#words, Word.alive, 1);
    Atomics.add(this.#words, Word.starting, 1);
  }

  /** Counts a thread out that could not be started. */
  countFailure(): void {
    Atomics.sub(this.#words, Word.alive, 1);
    Atomics.sub(this.#words, Word.starting, 1);
  }

  /** Threads that are on their way. */
  get starting(): number {
    return Atomics.load(this.#words, Word.starting);
  }

  /** Lets every thread end once it has nothing more to take. */
  stop(): void {
    Atomics.store(this.#words, Word.stop, 1);
    Atomics.notify(this.#words, Word.written);
  }

  /** A thread has begun to take calls. */
  started(): void {
    Atomics.sub(this.#words, Word.starting, 1);
  }

  /** The slot of the next call, now this thread's; -1 when there is none. */
  take(): number {
    const words = this.#words;
    for (;;) {
      const taken = Atomics.load(words, Word.taken);
      if (taken === Atomics.load(words, Word.written)) return -1;
      const slot = Atomics.load(words, SLOTS + (taken & MASK));
      if (Atomics.compareExchange(words, Word.taken, taken, (taken + 1) | 0) === taken) return slot;
    }
  }

  call(slot: number): BlockingArguments {
    const start = slot * NUMBERS;
    const numbers = this.#numbers;
    return {
      operation: numbers[start] as number,
      descriptor: numbers[start + 1] as number,
      first: numbers[start + 2] as number,
      second: numbers[start + 3] as number,
      position: numbers[start + 4] as number,
      length: numbers[start + 5] as number,
    };
  }

  finish(slot: number, result: number): void {
    this.#numbers[slot * NUMBERS + RESULT] = result;
    Atomics.store(this.#words, STATES + slot, State.done);
  }

  /**
   * Sleeps until there may be a call; false when this thread is to end. One that ends looks once more after it
   * has said so, so that no call is left to a thread that is gone.
   */
  sleep(): boolean {
    const words = this.#words;
    const written = Atomics.load(words, Word.written);
    Atomics.add(words, Word.idle, 1);
    let ends = Atomics.load(words, Word.stop) !== 0;
    if (!ends && Atomics.load(words, Word.taken) === written) {
      ends =
        Atomics.wait(words, Word.written, written, BLOCKING_IDLE_MILLISECONDS) === 'timed-out' ||
        Atomics.load(words, Word.stop) !== 0;
    }
    Atomics.sub(words, Word.idle, 1);
    if (!ends) return true;
    Atomics.sub(words, Word.alive, 1);
    if (Atomics.load(words, Word.taken) === Atomics.load(words, Word.written)) return false;
    Atomics.add(words, Word.alive, 1);
    return true;
  }
}
