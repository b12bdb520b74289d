import { COUNTERS, COUNTERS_BYTES, Counters } from '../boundary/counters.ts';
import type { Request } from '../boundary/ring.ts';
import { CALLS_IN_FLIGHT_MAX, GRANTS_MAX, HANDLES_MAX } from '../limits.ts';
import { closeDescriptor } from '../linux/events.ts';
import type { TraceBuffer } from './trace-buffer.ts';

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
  /** How many descriptors the worker holds for itself. */
  ownDescriptors: 4,
  /** Non-zero once a worker was ready to serve. */
  served: 5,
  /** Bytes of the names that were resolved. */
  namesBytes: 6,
} as const;

/** What a handle stands for, where a successor can make it again from its descriptor. */
export const ResourceType = {
  none: 0,
  other: 1,
  socket: 2,
  poller: 3,
  file: 4,
  datagram: 5,
  /** Its descriptor is the host's own and stays open. */
  stream: 6,
} as const;

/** The words of one call, by slot. */
const Field = {
  /** Zero once the call is answered. */
  id: 0,
  kind: 1,
  handle: 2,
  payload: 3,
  length: 4,
  /** Where it stood in the submission ring: calls on one socket are served in their order. */
  position: 5,
  /** The descriptor of its connection in progress, plus one. */
  descriptor: 6,
  /** Non-zero while it waits and nothing was done for it, so that it can be served from the start. */
  waits: 7,
} as const;
const FIELD_BITS = 3;

const SLOT_MASK = CALLS_IN_FLIGHT_MAX - 1;
const WORDS_BYTES = 64;
/** Names that the enclave may connect to, with their addresses; what does not fit is looked up anew. */
const NAMES_BYTES = 65_536;
/** Of a worker itself: its epoll, the bell of its pool, a directory for each mount. */
const OWN_DESCRIPTORS_MAX: number = 2 + GRANTS_MAX;
const CALLS_BYTES = CALLS_IN_FLIGHT_MAX << (FIELD_BITS + 2);

/** A call that a worker had taken and not answered. */
export interface TakenCall {
  readonly id: number;
  readonly kind: number;
  readonly handle: number;
  readonly payload: number;
  readonly length: number;
  readonly position: number;
  /** Of its connection in progress; -1 when there is none. */
  readonly descriptor: number;
  readonly waits: boolean;
  /** When it is late, in milliseconds since 1970; -1 for never. */
  readonly deadline: number;
}

export class Journal {
  readonly buffer: SharedArrayBuffer;
  readonly counters: Counters;
  /** Where calls are traced, if they are. */
  trace: TraceBuffer | undefined;
  readonly #words: Int32Array;
  readonly #calls: Int32Array;
  readonly #deadlines: Float64Array;
  readonly #descriptors: Int32Array;
  readonly #ownDescriptors: Int32Array;
  readonly #types: Uint8Array;
  readonly #names: Uint8Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(JOURNAL_BYTES)) {
    let offset = 0;
    const take = (bytes: number): number => {
      offset += bytes;
      return offset - bytes;
    };
    this.buffer = buffer;
    this.counters = new Counters(new Float64Array(buffer, take(COUNTERS_BYTES), COUNTERS));
    this.#words = new Int32Array(buffer, take(WORDS_BYTES), WORDS_BYTES / 4);
    this.#deadlines = new Float64Array(buffer, take(CALLS_IN_FLIGHT_MAX * 8), CALLS_IN_FLIGHT_MAX);
    this.#calls = new Int32Array(buffer, take(CALLS_BYTES), CALLS_BYTES / 4);
    this.#descriptors = new Int32Array(buffer, take(HANDLES_MAX * 4), HANDLES_MAX);
    this.#ownDescriptors = new Int32Array(buffer, take(OWN_DESCRIPTORS_MAX * 4), OWN_DESCRIPTORS_MAX);
    this.#types = new Uint8Array(buffer, take(HANDLES_MAX), HANDLES_MAX);
    this.#names = new Uint8Array(buffer, take(NAMES_BYTES), NAMES_BYTES);
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
  take(request: Request, taken: number): void {
    const calls = this.#calls;
    const call = (request.id & SLOT_MASK) << FIELD_BITS;
    calls[call + Field.kind] = request.kind;
    calls[call + Field.handle] = request.handle;
    calls[call + Field.payload] = request.payload;
    calls[call + Field.length] = request.length;
    calls[call + Field.position] = taken;
    calls[call + Field.descriptor] = 0;
    calls[call + Field.waits] = 0;
    calls[call] = request.id;
    this.#words[Word.submissionsTaken] = taken;
  }

  /** The kind of the call that was taken last in the slot of `id`. */
  kindOf(id: number): number {
    return this.#calls[((id & SLOT_MASK) << FIELD_BITS) + Field.kind] as number;
  }

  /** Notes that the answer of a call stands in the ring, which is written as far as `written`. */
  answer(id: number, written: number): void {
    this.#calls[(id & SLOT_MASK) << FIELD_BITS] = 0;
    this.#words[Word.opening] = 0;
    this.#words[Word.completionsWritten] = written;
  }

  /** Forgets a call that was noted and not begun. */
  untake(id: number): void {
    const call = (id & SLOT_MASK) << FIELD_BITS;
    if (this.#calls[call] === id) this.#calls[call] = 0;
  }

  /** Notes that a call waits, at most so many milliseconds (-1: no end), and that nothing was done for it yet. */
  wait(id: number, timeout: number): void {
    const slot = id & SLOT_MASK;
    this.#deadlines[slot] = timeout < 0 ? -1 : performance.timeOrigin + performance.now() + timeout;
    this.#calls[(slot << FIELD_BITS) + Field.waits] = 1;
  }

  /** Notes whether a call that waited still only waits, before and after something is tried for it. */
  setWaits(id: number, waits: boolean): void {
    this.#calls[((id & SLOT_MASK) << FIELD_BITS) + Field.waits] = waits ? 1 : 0;
  }

  /** Notes the descriptor of a connection in progress, which has no handle yet. */
  connecting(id: number, descriptor: number): void {
    this.#calls[((id & SLOT_MASK) << FIELD_BITS) + Field.descriptor] = descriptor + 1;
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

  /** Notes that a worker is ready to serve, and what it has to close when it ends. */
  serve(descriptors: readonly number[]): void {
    this.#ownDescriptors.set(descriptors);
    this.#words[Word.ownDescriptors] = descriptors.length;
    this.#words[Word.served] = 1;
  }

  /** What the names that were resolved stand for: see ResolvedNames. */
  get names(): string {
    const bytes = this.#names.slice(0, this.#words[Word.namesBytes]);
    return new TextDecoder().decode(bytes);
  }

  set names(text: string) {
    const bytes = new TextEncoder().encode(text);
    this.#words[Word.namesBytes] = 0;
    if (bytes.length > NAMES_BYTES) return;
    this.#names.set(bytes);
    this.#words[Word.namesBytes] = bytes.length;
  }

  /** Closes what a worker that died held for itself. */
  closeOwn(): void {
    const count = this.#words[Word.ownDescriptors] as number;
    this.#words[Word.ownDescriptors] = 0;
    for (const descriptor of this.#ownDescriptors.subarray(0, count)) closeDescriptor(descriptor);
  }

  /** Notes that the worker has closed all it had, as it was told. */
  end(): void {
    this.#words[Word.ownDescriptors] = 0;
    this.#calls.fill(0);
  }

  /** Calls that were taken and not answered, in the order in which they came. */
  inFlight(): TakenCall[] {
    const taken: TakenCall[] = [];
    for (let slot = 0; slot < CALLS_IN_FLIGHT_MAX; slot++) {
      const call = slot << FIELD_BITS;
      if (this.#calls[call] === 0) continue;
      const field = (index: number): number => this.#calls[call + index] as number;
      taken.push({
        id: field(Field.id),
        kind: field(Field.kind),
        handle: field(Field.handle),
        payload: field(Field.payload),
        length: field(Field.length),
        position: field(Field.position),
        descriptor: field(Field.descriptor) - 1,
        waits: field(Field.waits) !== 0,
        deadline: this.#deadlines[slot] as number,
      });
    }
    return taken.sort((a, b) => (a.position - b.position) | 0);
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

  /** Closes every descriptor that a dead worker left, for who has no successor. */
  closeDescriptors(): void {
    for (const { descriptor } of this.inFlight()) {
      if (descriptor >= 0) closeDescriptor(descriptor);
    }
    for (const { handle, type, descriptor } of this.handles()) {
      this.close(handle);
      if (descriptor >= 0 && type !== ResourceType.stream) closeDescriptor(descriptor);
    }
    this.closeOwn();
    this.end();
  }
}

const JOURNAL_BYTES: number =
  COUNTERS_BYTES +
  WORDS_BYTES +
  CALLS_IN_FLIGHT_MAX * 8 +
  CALLS_BYTES +
  HANDLES_MAX * 5 +
  NAMES_BYTES +
  OWN_DESCRIPTORS_MAX * 4;
