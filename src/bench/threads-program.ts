import { ping } from '../enclave.ts';

/** What the suite of threads runs inside. */

const CALLS_A_LOOK = 16;

/** Makes calls for so long and says how many it made. */
export function calls(milliseconds: number): number {
  let count = 0;
  for (const until = performance.now() + milliseconds; performance.now() < until; count += CALLS_A_LOOK) {
    for (let call = 0; call < CALLS_A_LOOK; call++) ping();
  }
  return count;
}

export function nothing(): void {}
