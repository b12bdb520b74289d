import {
  LAUNCH_PAYLOAD_MAX,
  LAUNCH_RING_ENTRIES,
  LAUNCH_SMALL_PAYLOAD_MAX,
  LAUNCHES_IN_FLIGHT_MAX,
} from '../limits.ts';
import type { ChannelLayout } from './layout.ts';
import type { RingPlace } from './ring.ts';

/**
 * The wire format of launches. A launch is a submission of the host: its id is a slot and a generation as for
 * calls, its `handle` the number of a function in the list that the enclave published at its start, its payload
 * lies in a room of the slot and holds the encoded list of arguments (nothing when there are none). `a0` is its
 * {@link Priority}, and its timeout is the one of the submission.
 *
 * The enclave answers with an outcome: id, {@link OutcomeStatus}, and the length of the encoded value or error in
 * the slot's outcome room (nothing for `undefined`).
 */
export const LaunchKind = {
  run: 1,
  /** Gives up the launch whose id is `a0`. It is no launch itself: only that one's outcome answers it. */
  cancel: 2,
  /** Runs a function of the enclave itself: `handle` is a {@link ServiceNumber}. */
  service: 3,
  /** Runs a graph: `handle` is its number, there are no arguments. */
  graph: 4,
  /**
   * Copies one run of bytes into the private buffer `handle`, or out of it, without arguments to decode: `a1` is the
   * offset in the buffer, `a2` that in pinned memory, `a3` the length, all unsigned.
   */
  copyIn: 5,
  copyOut: 6,
} as const;

/** The functions that the enclave has beside those of its program. */
export const ServiceNumber = {
  captureGraph: 0,
  releaseGraph: 1,
  createBuffer: 2,
  freeBuffer: 3,
  copyPiecesIn: 4,
  copyPiecesOut: 5,
  balloon: 6,
} as const;

export const OutcomeStatus = { returned: 0, threw: 1, rejected: 2 } as const;

/** Of launches that wait, those of a lower number run first. */
export const Priority = { high: 0, normal: 1, low: 2 } as const;
export const PRIORITIES = 3;

const SLOT_BITS = 8;
const GENERATION_MAX = 0x3f_ffff;

export function launchId(slot: number, generation: number): number {
  return (generation << SLOT_BITS) | slot;
}

export function slotOf(id: number): number {
  return id & (LAUNCHES_IN_FLIGHT_MAX - 1);
}

export function generationOf(id: number): number {
  return id >>> SLOT_BITS;
}

/** The generation of a slot's next launch. Never zero, so that no id is. */
export function nextGeneration(generation: number): number {
  return generation >= GENERATION_MAX ? 1 : generation + 1;
}

/** Byte offset in the boundary of the room for `length` bytes of a slot's arguments. */
export function launchRoom(layout: ChannelLayout, slot: number, length: number): number {
  return roomOf(layout, 2 * slot, length);
}

/** The same for what comes back. */
export function outcomeRoom(layout: ChannelLayout, slot: number, length: number): number {
  return roomOf(layout, 2 * slot + 1, length);
}

/** Most payloads are small, and lie together. */
function roomOf(layout: ChannelLayout, index: number, length: number): number {
  return length <= LAUNCH_SMALL_PAYLOAD_MAX
    ? layout.smallPayloads + index * LAUNCH_SMALL_PAYLOAD_MAX
    : layout.largePayloads + index * LAUNCH_PAYLOAD_MAX;
}

/** Where the enclave leaves the encoded names of its functions before it is ready: no launch runs yet. */
export function exportsRoom(layout: ChannelLayout): number {
  return layout.largePayloads;
}

export function launchRing(words: Int32Array<SharedArrayBuffer>, layout: ChannelLayout): RingPlace {
  return { words, entries: layout.launchRing, size: LAUNCH_RING_ENTRIES, taken: layout.launchesTaken };
}

export function outcomeRing(words: Int32Array<SharedArrayBuffer>, layout: ChannelLayout): RingPlace {
  return { words, entries: layout.outcomeRing, size: LAUNCH_RING_ENTRIES, taken: layout.outcomesTaken };
}
