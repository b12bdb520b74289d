import { workerData } from 'node:worker_threads';
import { addressOf } from '../linux/ffi.ts';
import { copyMemory } from '../linux/memory.ts';
import { ANSWER, ASKED, BYTES_OFFSET, RUNS } from './hand-over.ts';

/** Fills shared memory from its own whenever it is asked, and sleeps between two samples. */
const { shared, bytes } = workerData as { shared: SharedArrayBuffer; bytes: number };
const words = new Int32Array(shared);
const to = addressOf(new Uint8Array(shared)) + BYTES_OFFSET;
const own = new Uint8Array(bytes);
const from = addressOf(own);
let last = 0;
for (;;) {
  Atomics.wait(words, RUNS, 0);
  while (Atomics.load(words, RUNS) !== 0) {
    const asked = Atomics.load(words, ASKED);
    if (asked === last) continue;
    last = asked;
    copyMemory(to, from, bytes);
    Atomics.store(words, ANSWER, asked);
  }
}
