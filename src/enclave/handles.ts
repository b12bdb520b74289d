import { HANDLES_MAX } from '../limits.ts';
import type { Calls } from './calls.ts';

/**
 * The handles that the host has given this thread and that are still open. A host that gives one twice would
 * make two things of the program act on one of its own: that is a violation, not an error.
 */
const open = new Uint8Array(HANDLES_MAX);

/** Accepts a handle that a call answered with (its range is checked already). */
export function adoptHandle(calls: Calls, handle: number): number {
  if (open[handle] === 1) calls.violate(`the host gave handle ${handle}, which is open already`);
  open[handle] = 1;
  return handle;
}

/** Forgets a handle whose close the host has answered. */
export function forgetHandle(handle: number): void {
  open[handle] = 0;
}
