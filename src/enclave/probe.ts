import { CallKind } from '../boundary/kinds.ts';
import { CONTROL } from '../boundary/layout.ts';
import { TimeoutError } from '../errors.ts';
import { runtime } from './runtime.ts';
import { callAsync, failure } from './transfer.ts';

/** Calls that do nothing, to measure what a call costs. */

/** Looks at the host's word in a row, some ten seconds, before the host is taken for gone. */
const LOOKS_MAX = 1_000_000_000;

export function ping(): void {
  const result = runtime().calls.call(CallKind.nothing, 0, 0, 0);
  if (result < 0) throw failure(CallKind.nothing, result);
}

export async function pingAsync(): Promise<void> {
  await callAsync({ kind: CallKind.nothing, handle: 0 });
}

/**
 * The floor of every call: `rounds` bare exchanges of one word each way with the worker's thread, timed one by
 * one into `milliseconds`. Works only where the host allows diagnostics.
 */
export function bareExchanges(rounds: number, milliseconds: Float64Array): void {
  const { calls, words } = runtime();
  const ping = CONTROL.ping >> 2;
  const pong = CONTROL.pong >> 2;
  const start = Atomics.load(words, ping);
  const result = calls.call(CallKind.echo, 0, 0, 0, rounds);
  if (result < 0) throw failure(CallKind.echo, result);
  for (let round = 1; round <= rounds; round++) {
    const began = performance.now();
    const value = (start + round) | 0;
    Atomics.store(words, ping, value);
    let looks = 0;
    while (Atomics.load(words, pong) !== value) {
      if (++looks > LOOKS_MAX) throw new TimeoutError('the host stopped to exchange words');
    }
    milliseconds[round - 1] = performance.now() - began;
  }
}
