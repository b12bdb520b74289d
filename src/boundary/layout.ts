import {
  ARENA_CLASSES,
  LAUNCH_PAYLOAD_MAX,
  LAUNCH_RING_ENTRIES,
  LAUNCH_SMALL_PAYLOAD_MAX,
  LAUNCHES_IN_FLIGHT_MAX,
  PAGE_BYTES,
  RING_ENTRIES,
  WASM_PAGE_BYTES,
  WORD_STRIDE_BYTES,
} from '../limits.ts';

/**
 * Where everything lies in the boundary, in bytes from its start. Both sides compute this from constants and
 * the number of channels; nothing of it is ever read from shared memory.
 *
 *     control page | channel 0 | channel 1 | …
 *     channel:  words | enclave's counters | calls: submission ring, completion ring | launches: launch ring,
 *               outcome ring, small payloads, large payloads | arena
 */
export const SUBMISSION_BYTES = 64;
export const COMPLETION_BYTES = 32;

/** Byte offsets of the words of the control page, each with one writer, WORD_STRIDE_BYTES apart. */
export const CONTROL = {
  /** Written by the host: 1 asks the enclave to stop. */
  stopRequested: 0,
  /** Written by the host: bytes of the image in the first channel's arena. */
  imageBytes: 128,
  /** Written by the enclave: see {@link EnclaveState}. */
  enclaveState: 256,
  /** Written by the enclave: bytes of {@link CONTROL.failureText}. */
  failureBytes: 384,
  /** Written by the enclave: bytes of the encoded names of the program's functions, see `exportsRoom`. */
  exportsBytes: 512,
  /** Written by the host: non-zero while it sleeps and wants its bell rung for outcomes; counts its sleeps. */
  outcomesParked: 640,
  /** Written by the enclave, and by the host: the two words of a bare exchange, to measure what there is to beat. */
  ping: 1024,
  pong: 1152,
  /** Written by the enclave: why it could not start, UTF-8. */
  failureText: 2048,
} as const;

export const EnclaveState = { starting: 0, ready: 1, failed: 2, leaving: 3 } as const;
export const ThreadState = { starting: 0, serving: 1, dead: 2 } as const;

const FIRST_CHANNEL = WASM_PAGE_BYTES;
/** Where the words of a channel that the host writes begin; the enclave's come first. */
const HOST_WORDS = 1024;
const FAILURE_TEXT = 2048;

const COUNTERS: number = PAGE_BYTES;
const SUBMISSION_RING: number = 2 * PAGE_BYTES;
const COMPLETION_RING: number = SUBMISSION_RING + RING_ENTRIES * SUBMISSION_BYTES;
const LAUNCH_RING: number = COMPLETION_RING + RING_ENTRIES * COMPLETION_BYTES;
const OUTCOME_RING: number = LAUNCH_RING + LAUNCH_RING_ENTRIES * SUBMISSION_BYTES;
const SMALL_PAYLOADS: number = OUTCOME_RING + LAUNCH_RING_ENTRIES * COMPLETION_BYTES;
const LARGE_PAYLOADS: number = SMALL_PAYLOADS + 2 * LAUNCHES_IN_FLIGHT_MAX * LAUNCH_SMALL_PAYLOAD_MAX;
const ARENA: number = LARGE_PAYLOADS + 2 * LAUNCHES_IN_FLIGHT_MAX * LAUNCH_PAYLOAD_MAX;

export const ARENA_BYTES: number = ARENA_CLASSES.reduce((sum, { bytes, blocks }) => sum + bytes * blocks, 0);
const CHANNEL_BYTES: number = Math.ceil((ARENA + ARENA_BYTES) / WASM_PAGE_BYTES) * WASM_PAGE_BYTES;

/** Byte offsets of one channel's parts from the start of the boundary. */
export interface ChannelLayout {
  /** Written by the enclave: completions that it has taken. */
  readonly completionsTaken: number;
  /** Written by the enclave: see {@link Parked}. */
  readonly enclaveParked: number;
  /** Written by the enclave: launches that it has taken. */
  readonly launchesTaken: number;
  /** Written by the enclave: non-zero while it sleeps in its event loop and wants its bell rung for launches. */
  readonly launchesParked: number;
  /** Written by the enclave: see {@link ThreadState}. */
  readonly threadState: number;
  /** Written by the enclave: counts its looks for launches, so that a thread that computes is told from one that looks. */
  readonly looks: number;
  /** Written by the enclave: why the thread died, and its bytes. */
  readonly failureBytes: number;
  readonly failureText: number;
  /** Written by the host: submissions that it has taken. */
  readonly submissionsTaken: number;
  /** Written by the host: see {@link Parked}; counts up, so that one sleep is told from the next. */
  readonly hostParked: number;
  /** Written by the host: counts its wake-ups; the word that a waiting enclave thread sleeps on. */
  readonly bell: number;
  /** Written by the host: outcomes that it has taken. */
  readonly outcomesTaken: number;
  /** Written by the enclave: what it says that it has counted; see {@link Counters}. */
  readonly counters: number;
  readonly submissionRing: number;
  readonly completionRing: number;
  readonly launchRing: number;
  readonly outcomeRing: number;
  /** Rooms of LAUNCH_SMALL_PAYLOAD_MAX bytes: two for each launch in flight, the second for its outcome. */
  readonly smallPayloads: number;
  /** The same of LAUNCH_PAYLOAD_MAX bytes. */
  readonly largePayloads: number;
  readonly arena: number;
}

/** How a side that sleeps wants to be woken. */
export const Parked = { awake: 0, onFutex: 1, onDescriptor: 2 } as const;

export function channelLayout(channel: number): ChannelLayout {
  const base = FIRST_CHANNEL + channel * CHANNEL_BYTES;
  const host = base + HOST_WORDS;
  return {
    completionsTaken: base,
    enclaveParked: base + WORD_STRIDE_BYTES,
    launchesTaken: base + 2 * WORD_STRIDE_BYTES,
    launchesParked: base + 3 * WORD_STRIDE_BYTES,
    threadState: base + 4 * WORD_STRIDE_BYTES,
    looks: base + 5 * WORD_STRIDE_BYTES,
    failureBytes: base + 6 * WORD_STRIDE_BYTES,
    failureText: base + FAILURE_TEXT,
    submissionsTaken: host,
    hostParked: host + WORD_STRIDE_BYTES,
    bell: host + 2 * WORD_STRIDE_BYTES,
    outcomesTaken: host + 3 * WORD_STRIDE_BYTES,
    counters: base + COUNTERS,
    submissionRing: base + SUBMISSION_RING,
    completionRing: base + COMPLETION_RING,
    launchRing: base + LAUNCH_RING,
    outcomeRing: base + OUTCOME_RING,
    smallPayloads: base + SMALL_PAYLOADS,
    largePayloads: base + LARGE_PAYLOADS,
    arena: base + ARENA,
  };
}

/** Where pinned memory begins: behind one more channel, that of the copy engine. */
export function pinnedStart(channels: number): number {
  return FIRST_CHANNEL + (channels + 1) * CHANNEL_BYTES;
}

/** Bytes of a boundary with that many channels, and with a copy engine if any memory is pinned: whole WebAssembly pages. */
export function boundaryBytes(channels: number, pinnedBytes = 0): number {
  return pinnedBytes > 0 ? pinnedStart(channels) + pinnedBytes : FIRST_CHANNEL + channels * CHANNEL_BYTES;
}
