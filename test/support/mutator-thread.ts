import { workerData } from 'node:worker_threads';
import type { Mutations } from './mutator.ts';

const { buffer, offsets, values, control } = workerData as Mutations;
const words = new Int32Array(buffer);

for (let round = 0; Atomics.load(control, 0) === 0; round++) {
  const value = values[round % values.length] as number;
  for (const offset of offsets) Atomics.store(words, offset >> 2, value);
  if (round === 0) Atomics.store(control, 1, 1);
}
