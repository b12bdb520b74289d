import { setTimeout } from 'node:timers/promises';
import { CallKind } from '../boundary/kinds.ts';
import { AbortError, InvalidArgumentError } from '../errors.ts';
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

const SLEEP_MILLISECONDS_MAX = 0x7fff_ffff;

/** Sleeps so many milliseconds by this machine's own clock; the thread does nothing else meanwhile. */
export function sleep(milliseconds: number): void {
  runtime().calls.waitUntil(never, checkSleep(milliseconds));
}

/** Lets other tasks run for so many milliseconds. */
export async function sleepAsync(milliseconds: number, signal?: AbortSignal): Promise<void> {
  const checked = checkSleep(milliseconds);
  try {
    await setTimeout(checked, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    throw new AbortError('the sleep was aborted', { cause: signal.reason });
  }
}

function never(): boolean {
  return false;
}

function checkSleep(milliseconds: number): number {
  if (milliseconds >= 0 && milliseconds <= SLEEP_MILLISECONDS_MAX) return milliseconds;
  throw new InvalidArgumentError(
    `a sleep takes 0 to ${SLEEP_MILLISECONDS_MAX} milliseconds, not ${milliseconds}`,
  );
}
