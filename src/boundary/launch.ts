import { LAUNCH_PAYLOAD_MAX } from '../limits.ts';
import { LAUNCHES } from './layout.ts';

/**
 * The wire format of launches. A launch is a submission of the host: its id is a slot and a generation as for
 * calls, its payload lies in the slot's own room and holds the encoded `[name, arguments]`. The enclave answers
 * with an outcome: id, status, and the length of the encoded value (or error) in the slot's outcome room.
 */
export const LaunchKind = { run: 1 } as const;

export const OutcomeStatus = { returned: 0, threw: 1, rejected: 2 } as const;

export const LAUNCH_SLOT_BITS = 8;

/** Byte offsets from the start of the boundary of a slot's two rooms, of LAUNCH_PAYLOAD_MAX bytes each. */
export function launchPayload(slot: number): number {
  return LAUNCHES.launchPayloads + slot * LAUNCH_PAYLOAD_MAX;
}

export function outcomePayload(slot: number): number {
  return LAUNCHES.outcomePayloads + slot * LAUNCH_PAYLOAD_MAX;
}
