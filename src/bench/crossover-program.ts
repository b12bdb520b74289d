import { type Connection, connect, wallTime } from '../enclave.ts';

/** Times what the suite of crossovers compares, inside the enclave; milliseconds, one by one. */

const PREPARED_PATH = '/bench/prepared';

let connection: Connection | undefined;

/** Transfers of so many bytes, each of as many calls as it takes. */
export function transfers(rounds: number, bytes: number): Float64Array {
  connection ??= connect({ path: PREPARED_PATH });
  const stream = connection;
  const buffer = new Uint8Array(bytes);
  const milliseconds = new Float64Array(rounds);
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    for (let done = 0; done < bytes; ) done += stream.receive(done === 0 ? buffer : buffer.subarray(done));
    milliseconds[round] = performance.now() - began;
  }
  return milliseconds;
}

/** A call that the system answers without entering the kernel: nothing is cheaper to serve. */
export function clocks(rounds: number): Float64Array {
  const milliseconds = new Float64Array(rounds);
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    wallTime();
    milliseconds[round] = performance.now() - began;
  }
  return milliseconds;
}
