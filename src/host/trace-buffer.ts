import { CALLS_IN_FLIGHT_MAX } from '../limits.ts';

/**
 * Calls on their way from the worker that served them to whoever writes them down: a ring in memory that the
 * host's threads share. The worker never waits: what finds the ring full is counted and not kept.
 */
export interface TracedCall {
  readonly id: number;
  readonly kind: number;
  readonly result: number;
  /** Milliseconds since 1970, with a fraction. */
  readonly taken: number;
  readonly answered: number;
}

/** Calls that one worker can be ahead of the writer: a tenth of a second at a million calls a second. */
const RECORDS = 131_072;
const FIELDS = 5;
const POSITIONS_BYTES = 24;
const WRITTEN = 0;
const READ = 1;
const DROPPED = 2;
export const TRACE_BYTES: number = POSITIONS_BYTES + RECORDS * FIELDS * 8;

const SLOT_MASK = CALLS_IN_FLIGHT_MAX - 1;

export class TraceBuffer {
  readonly buffer: SharedArrayBuffer;
  readonly #positions: Int32Array<SharedArrayBuffer>;
  readonly #records: Float64Array<SharedArrayBuffer>;
  readonly #takenAt = new Float64Array(CALLS_IN_FLIGHT_MAX);

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(TRACE_BYTES)) {
    this.buffer = buffer;
    this.#positions = new Int32Array(buffer, 0, 3);
    this.#records = new Float64Array(buffer, POSITIONS_BYTES, RECORDS * FIELDS);
  }

  /** By the worker: a call was taken from its ring. */
  begin(id: number): void {
    this.#takenAt[id & SLOT_MASK] = performance.now();
  }

  /** By the worker: a call is answered. */
  end(id: number, kind: number, result: number): void {
    const taken = this.#takenAt[id & SLOT_MASK] as number;
    // A worker that took over answers calls whose beginning it has not seen.
    if (taken === 0) return;
    this.#takenAt[id & SLOT_MASK] = 0;
    const written = this.#positions[WRITTEN] as number;
    if (((written - Atomics.load(this.#positions, READ)) | 0) >= RECORDS) {
      this.#positions[DROPPED] = (this.#positions[DROPPED] as number) + 1;
      return;
    }
    const record = (written & (RECORDS - 1)) * FIELDS;
    const { timeOrigin } = performance;
    this.#records[record] = id;
    this.#records[record + 1] = kind;
    this.#records[record + 2] = result;
    this.#records[record + 3] = timeOrigin + taken;
    this.#records[record + 4] = timeOrigin + performance.now();
    Atomics.store(this.#positions, WRITTEN, (written + 1) | 0);
  }

  /** By the writer: takes what has come, at most so many. */
  take(most: number): TracedCall[] {
    const calls: TracedCall[] = [];
    let read = this.#positions[READ] as number;
    const written = Atomics.load(this.#positions, WRITTEN);
    while (read !== written && calls.length < most) {
      const record = (read & (RECORDS - 1)) * FIELDS;
      const field = (index: number): number => this.#records[record + index] as number;
      calls.push({ id: field(0), kind: field(1), result: field(2), taken: field(3), answered: field(4) });
      read = (read + 1) | 0;
    }
    Atomics.store(this.#positions, READ, read);
    return calls;
  }

  /** Calls that found the ring full. */
  get dropped(): number {
    return Atomics.load(this.#positions, DROPPED);
  }
}
