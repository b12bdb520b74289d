import {
  ARENA_CLASSES,
  LAUNCH_PAYLOAD_MAX,
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
 *     control page | launch ring | outcome ring | launch payloads | outcome payloads | channel 0 | channel 1 | …
 *     channel:  enclave's words | host's words | enclave's counters | submission ring | completion ring | arena
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
  /** Written by the enclave: non-zero while it sleeps in its event loop and wants its bell rung for launches. */
  launchesParked: 512,
  /** Written by the host: non-zero while it sleeps and wants its bell rung for outcomes. */
  outcomesParked: 640,
  /** Written by the host: outcomes that it has taken. */
  outcomesTaken: 768,
  /** Written by the enclave: launches that it has taken. */
  launchesTaken: 896,
  /** Written by the enclave, and by the host: the two words of a bare exchange, to measure what there is to beat. */
  ping: 1024,
  pong: 1152,
  /** Written by the enclave: why it could not start, UTF-8. */
  failureText: 2048,
} as const;

export const EnclaveState = { starting: 0, ready: 1, failed: 2, leaving: 3 } as const;

const LAUNCH_RING = PAGE_BYTES;
const OUTCOME_RING: number = LAUNCH_RING + LAUNCHES_IN_FLIGHT_MAX * SUBMISSION_BYTES;
const LAUNCH_PAYLOADS: number = WASM_PAGE_BYTES;
const OUTCOME_PAYLOADS: number = LAUNCH_PAYLOADS + LAUNCHES_IN_FLIGHT_MAX * LAUNCH_PAYLOAD_MAX;
const FIRST_CHANNEL: number = OUTCOME_PAYLOADS + LAUNCHES_IN_FLIGHT_MAX * LAUNCH_PAYLOAD_MAX;

export const LAUNCHES: {
  readonly launchRing: number;
  readonly outcomeRing: number;
  readonly launchPayloads: number;
  readonly outcomePayloads: number;
} = {
  launchRing: LAUNCH_RING,
  outcomeRing: OUTCOME_RING,
  launchPayloads: LAUNCH_PAYLOADS,
  outcomePayloads: OUTCOME_PAYLOADS,
};

const HOST_WORDS = 1024;
const COUNTERS: number = PAGE_BYTES;
const SUBMISSION_RING: number = 2 * PAGE_BYTES;
const COMPLETION_RING: number = SUBMISSION_RING + RING_ENTRIES * SUBMISSION_BYTES;
const ARENA: number = COMPLETION_RING + RING_ENTRIES * COMPLETION_BYTES;

export const ARENA_BYTES: number = ARENA_CLASSES.reduce((sum, { bytes, blocks }) => sum + bytes * blocks, 0);
const CHANNEL_BYTES: number = Math.ceil((ARENA + ARENA_BYTES) / WASM_PAGE_BYTES) * WASM_PAGE_BYTES;

/** Byte offsets of one channel's parts from the start of the boundary. */
export interface ChannelLayout {
  /** Written by the enclave: completions that it has taken. */
  readonly completionsTaken: number;
  /** Written by the enclave: see {@link Parked}. */
  readonly enclaveParked: number;
  /** Written by the host: submissions that it has taken. */
  readonly submissionsTaken: number;
  /** Written by the host: see {@link Parked}; counts up, so that one sleep is told from the next. */
  readonly hostParked: number;
  /** Written by the host: counts its wake-ups; the word that a waiting enclave thread sleeps on. */
  readonly bell: number;
  /** Written by the enclave: what it says that it has counted; see {@link Counters}. */
  readonly counters: number;
  readonly submissionRing: number;
  readonly completionRing: number;
  readonly arena: number;
}

/** How a side that sleeps wants to be woken. */
export const Parked = { awake: 0, onFutex: 1, onDescriptor: 2 } as const;

export function channelLayout(channel: number): ChannelLayout {
  const base = FIRST_CHANNEL + channel * CHANNEL_BYTES;
  return {
    completionsTaken: base,
    enclaveParked: base + WORD_STRIDE_BYTES,
    submissionsTaken: base + HOST_WORDS,
    hostParked: base + HOST_WORDS + WORD_STRIDE_BYTES,
    bell: base + HOST_WORDS + 2 * WORD_STRIDE_BYTES,
    counters: base + COUNTERS,
    submissionRing: base + SUBMISSION_RING,
    completionRing: base + COMPLETION_RING,
    arena: base + ARENA,
  };
}

/** Bytes of a boundary with that many channels: a whole number of WebAssembly pages. */
export function boundaryBytes(channels: number): number {
  return FIRST_CHANNEL + channels * CHANNEL_BYTES;
}
