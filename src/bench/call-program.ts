import { bareExchanges, ping, pingAsync } from '../enclave.ts';

/** Times calls that do nothing, inside the enclave. Each returns milliseconds, one by one. */

export function synchronous(rounds: number): Float64Array {
  const milliseconds = new Float64Array(rounds);
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    ping();
    milliseconds[round] = performance.now() - began;
  }
  return milliseconds;
}

export async function asynchronous(rounds: number): Promise<Float64Array> {
  const milliseconds = new Float64Array(rounds);
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    await pingAsync();
    milliseconds[round] = performance.now() - began;
  }
  return milliseconds;
}

export function floor(rounds: number): Float64Array {
  const milliseconds = new Float64Array(rounds);
  bareExchanges(rounds, milliseconds);
  return milliseconds;
}

/** What reading the clock adds to each of the above: one reading, timed by itself. */
export function clock(rounds: number): Float64Array {
  const milliseconds = new Float64Array(rounds);
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    milliseconds[round] = performance.now() - began;
  }
  return milliseconds;
}
