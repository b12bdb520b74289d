import { fileURLToPath } from 'node:url';
import { buildImage, Enclave } from '../../src/index.ts';
import { batchOf, loadFlowers } from './flowers.ts';
import { Owner } from './owner.ts';
import { Pipeline } from './pipeline.ts';
import type * as program from './program.ts';
import { BATCH_ROWS } from './shape.ts';

/** Scores the flowers in an enclave, with the steps of a batch in turn and overlapped: `node dist/apps/scoring/main.js`. */
const BATCHES = 24;
const PINNED_BYTES = 4_194_304;

const image = await buildImage(fileURLToPath(new URL('./program.js', import.meta.url)), {
  name: 'scoring',
  privateMemoryBytes: 2_097_152,
});
await using enclave = await Enclave.create<typeof program>(image, { pinnedBytes: PINNED_BYTES });
const { table, rows, classes } = loadFlowers();
const pipeline = await Pipeline.create(enclave, new Owner(), table);
const batches = Array.from({ length: BATCHES }, () => batchOf(rows, BATCH_ROWS));
for (const [name, score] of [
  ['in turn', () => pipeline.scoreInTurn(batches)],
  ['overlapped', () => pipeline.score(batches)],
] as const) {
  const began = performance.now();
  const results = await score();
  const milliseconds = performance.now() - began;
  const right = results[0]!.subarray(0, classes.length).filter((kind, row) => kind === classes[row]).length;
  console.log(
    `${name}: ${BATCHES} batches of ${BATCH_ROWS} rows in ${milliseconds.toFixed(1)} ms; ${right} of ${classes.length} flowers right`,
  );
}
