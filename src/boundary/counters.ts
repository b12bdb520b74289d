import { CALLS_IN_FLIGHT_MAX } from '../limits.ts';
import { CALL_KINDS, CallKind, callRules } from './kinds.ts';

/**
 * What each side counts of one channel: an array of doubles with one writer, so that counting is one addition
 * in a cache line that nobody else asks for. Doubles count exactly to 2^53; eight aligned bytes are read and
 * written whole on the machines that sgxio runs on, so who reads meanwhile sees a value that was there.
 */
export const Count = {
  /** Answers, and those among them that were errors. */
  answered: 0,
  failures: 1,
  bytesIn: 2,
  bytesOut: 3,
  /** Results that are no bytes, so that adding a result up needs no branch. */
  otherResults: 4,
  mostInFlight: 5,
  /** Waits that outlasted their first polls and went on to yield. */
  spins: 6,
  /** Sleeps, and how often the other side was woken: a system call each. */
  parks: 7,
  wakes: 8,
  /** Calls that found all slots, all payload room or the ring taken. */
  channelFull: 9,
  arenaFull: 10,
  ringFull: 11,
  /** The nanoseconds of all sampled calls together, then how many there were by {@link latencyBound}. */
  latencySum: 12,
  latency: 13,
  /** Blocks of payload room that are taken; only the enclave knows. */
  arenaBlocks: 42,
  /** Calls by the number of their kind. */
  calls: 48,
} as const;

/** Buckets of the latency histogram: below 2^8 ns, then a power of two each, the last without an end. */
export const LATENCY_BUCKETS = 28;
const FIRST_BUCKET_BITS = 8;
export const COUNTERS: number = Count.calls + CALL_KINDS;
export const COUNTERS_BYTES: number = COUNTERS * Float64Array.BYTES_PER_ELEMENT;

/** Every 64th call of a slot is timed. The id alone says which: its generation stands above the slot. */
const SAMPLE_MASK = 63 * CALLS_IN_FLIGHT_MAX;
const SLOT_MASK: number = CALLS_IN_FLIGHT_MAX - 1;

/** Where the result of each kind is added. */
const resultCell = new Uint8Array(CALL_KINDS).fill(Count.otherResults);
for (const [name, kind] of Object.entries(CallKind)) {
  const { carries } = callRules[name as keyof typeof CallKind];
  if (carries !== undefined) resultCell[kind] = carries === 'in' ? Count.bytesIn : Count.bytesOut;
}

/** The time, in nanoseconds, that every call of a bucket stayed below. */
export function latencyBound(bucket: number): number {
  return bucket === LATENCY_BUCKETS - 1 ? Number.POSITIVE_INFINITY : 2 ** (FIRST_BUCKET_BITS + bucket);
}

export class Counters {
  readonly cells: Float64Array;
  readonly #sampledAt = new Float64Array(CALLS_IN_FLIGHT_MAX);

  constructor(cells: Float64Array = new Float64Array(COUNTERS)) {
    this.cells = cells;
  }

  add(cell: number, amount = 1): void {
    this.cells[cell] = (this.cells[cell] as number) + amount;
  }

  /** A call begins; `kind` is any number that an untrusted side may have sent. */
  begin(id: number, kind: number, inFlight: number): void {
    this.add(Count.calls + (kind & (CALL_KINDS - 1)));
    if (inFlight > (this.cells[Count.mostInFlight] as number)) this.cells[Count.mostInFlight] = inFlight;
    if ((id & SAMPLE_MASK) === 0) this.#sampledAt[id & SLOT_MASK] = performance.now();
  }

  /** A call of that kind has its answer. */
  end(id: number, kind: number, result: number): void {
    this.add(Count.answered);
    if (result < 0) this.add(Count.failures);
    else this.add(resultCell[kind & (CALL_KINDS - 1)] as number, result);
    if ((id & SAMPLE_MASK) === 0) this.#sample(id & SLOT_MASK);
  }

  #sample(slot: number): void {
    const began = this.#sampledAt[slot] as number;
    if (began === 0) return;
    this.#sampledAt[slot] = 0;
    const nanoseconds = (performance.now() - began) * 1e6;
    this.add(Count.latency + bucketOf(nanoseconds));
    this.add(Count.latencySum, nanoseconds);
  }
}

/** Times of more than 32 bits belong to the last bucket anyhow, or to one that the division still finds. */
function bucketOf(nanoseconds: number): number {
  const above = Math.min(nanoseconds / 2 ** FIRST_BUCKET_BITS, 2 ** (LATENCY_BUCKETS - 1));
  return Math.min(32 - Math.clz32(above), LATENCY_BUCKETS - 1);
}

/** Calls by how long they took, in the form of a cumulative histogram. */
export interface LatencyHistogram {
  /** Calls that were timed: one of 64. */
  readonly count: number;
  readonly sumNanoseconds: number;
  /** How many took less than `belowNanoseconds`; the last bound is `Infinity`. */
  readonly buckets: readonly { readonly belowNanoseconds: number; readonly count: number }[];
}

/** What one side has counted, over all its channels. */
export interface CallCounts {
  readonly calls: number;
  readonly callsByKind: Readonly<Record<string, number>>;
  /** Calls that were answered with an error. */
  readonly failures: number;
  /** Payload that calls brought into the enclave, and took out of it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly inFlight: number;
  readonly mostInFlight: number;
  readonly spins: number;
  readonly parks: number;
  readonly wakes: number;
  readonly channelFull: number;
  readonly arenaFull: number;
  readonly ringFull: number;
  /** Blocks of payload room that calls have taken; the host knows of none. */
  readonly arenaBlocks: number;
  /** From the start of a call to its answer; a call that waits for a peer takes as long as the peer. */
  readonly latency: LatencyHistogram;
}

/** Adds up what several channels have counted. Cells are copied first; those of another side may be anything. */
export function sumCounters(channels: readonly Float64Array[]): CallCounts {
  const cells = new Float64Array(COUNTERS);
  for (const channel of channels) {
    for (let cell = 0; cell < COUNTERS; cell++) {
      const value = channel[cell] as number;
      if (value > 0 && value <= Number.MAX_SAFE_INTEGER) cells[cell] = (cells[cell] as number) + value;
    }
  }
  const at = (cell: number): number => cells[cell] as number;
  const callsByKind: Record<string, number> = {};
  for (const [name, kind] of Object.entries(CallKind)) callsByKind[name] = at(Count.calls + kind);
  const calls = cells.subarray(Count.calls, Count.calls + CALL_KINDS).reduce((sum, count) => sum + count, 0);
  return {
    calls,
    callsByKind,
    failures: at(Count.failures),
    bytesIn: at(Count.bytesIn),
    bytesOut: at(Count.bytesOut),
    inFlight: Math.max(0, calls - at(Count.answered)),
    mostInFlight: at(Count.mostInFlight),
    spins: at(Count.spins),
    parks: at(Count.parks),
    wakes: at(Count.wakes),
    channelFull: at(Count.channelFull),
    arenaFull: at(Count.arenaFull),
    ringFull: at(Count.ringFull),
    arenaBlocks: at(Count.arenaBlocks),
    latency: histogram(cells),
  };
}

function histogram(cells: Float64Array): LatencyHistogram {
  const buckets: { belowNanoseconds: number; count: number }[] = [];
  let count = 0;
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
    count += cells[Count.latency + bucket] as number;
    buckets.push({ belowNanoseconds: latencyBound(bucket), count });
  }
  return { count, sumNanoseconds: cells[Count.latencySum] as number, buckets };
}
