import { CallKind } from '../boundary/kinds.ts';
import { runtime } from './runtime.ts';
import { failure } from './transfer.ts';

/**
 * Time as the host tells it. The host may lie about it within limits that the enclave holds: neither clock
 * ever goes backwards here. Do not decide on the wall clock what an attacker gains from (expiry of a
 * certificate, say) without another source.
 */
const NANOSECONDS_A_MILLISECOND = 1e6;
const NANOSECONDS_A_SECOND = 1e9;

const WALL = 0;
const MONOTONIC = 1;

const latest = [0, 0];

function read(which: number): number {
  const { calls } = runtime();
  const result = calls.call(CallKind.clock, 0, 0, 0, which);
  if (result < 0) throw failure(CallKind.clock, result);
  const seconds = calls.extra0 >>> 0;
  const nanoseconds = calls.extra1;
  if (nanoseconds < 0 || nanoseconds >= NANOSECONDS_A_SECOND) {
    calls.violate(`the host gave ${nanoseconds} nanoseconds of a second`);
  }
  const milliseconds = seconds * 1000 + nanoseconds / NANOSECONDS_A_MILLISECOND;
  const kept = Math.max(latest[which] as number, milliseconds);
  latest[which] = kept;
  return kept;
}

/** Milliseconds since 1970, with a fraction; never less than before. */
export function wallTime(): number {
  return read(WALL);
}

/** Milliseconds since some moment, with a fraction; never less than before. */
export function monotonicTime(): number {
  return read(MONOTONIC);
}
