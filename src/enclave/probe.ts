import { CallKind } from '../boundary/kinds.ts';
import { CONTROL } from '../boundary/layout.ts';
import { runtime } from './runtime.ts';
import { callAsync } from './transfer.ts';

/** Calls that do nothing, to measure what a call costs. */

export function ping(): void {
  runtime().calls.call(CallKind.nothing, 0, 0, 0);
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
  calls.call(CallKind.echo, 0, 0, 0, rounds);
  for (let round = 1; round <= rounds; round++) {
    const began = performance.now();
    const value = (start + round) | 0;
    Atomics.store(words, ping, value);
    while (Atomics.load(words, pong) !== value);
    milliseconds[round - 1] = performance.now() - began;
  }
}
