import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchOf, loadFlowers } from '../../../apps/scoring/flowers.ts';
import { Owner } from '../../../apps/scoring/owner.ts';
import { Pipeline } from '../../../apps/scoring/pipeline.ts';
import type * as program from '../../../apps/scoring/program.ts';
import { BATCH_ROWS, COLUMNS, SLOTS } from '../../../apps/scoring/shape.ts';
import { buildProgram, withEnclave } from '../../support/enclaves.ts';

const NEIGHBOURS = 5;

/** The same classification, written to be read. */
function classify(row: Float64Array, table: Float64Array): number {
  const learned = Array.from({ length: table.length / (COLUMNS + 1) }, (_, index) =>
    table.subarray(index * (COLUMNS + 1), (index + 1) * (COLUMNS + 1)),
  );
  const distance = (other: Float64Array): number =>
    row.reduce((sum, value, column) => sum + (value - other[column]!) ** 2, 0);
  const nearest = learned.sort((left, right) => distance(left) - distance(right)).slice(0, NEIGHBOURS);
  const votes = new Map<number, number>();
  for (const other of nearest) votes.set(other[COLUMNS]!, (votes.get(other[COLUMNS]!) ?? 0) + 1);
  return [...votes].sort((left, right) => right[1] - left[1])[0]![0];
}

test('batches are scored as they would be without an enclave, in turn and overlapped', async () => {
  const image = await buildProgram('apps/scoring/program', { privateMemoryBytes: 2_097_152 });
  await withEnclave<typeof program>(image, { pinnedBytes: 4_194_304 }, async (enclave) => {
    const { table, rows, classes } = loadFlowers();
    const expected = Uint8Array.from(classes, (_, row) =>
      classify(rows.subarray(row * COLUMNS, (row + 1) * COLUMNS), table),
    );
    const pipeline = await Pipeline.create(enclave, new Owner(), table);
    const counts = [classes.length, BATCH_ROWS, 1, 100, BATCH_ROWS, 7, 4000].slice(0, 2 * SLOTS + 1);
    const batches = counts.map((count) => batchOf(rows, count));
    for (const results of [await pipeline.score(batches), await pipeline.scoreInTurn(batches)]) {
      for (const [index, result] of results.entries()) {
        const wanted = Uint8Array.from(
          { length: counts[index]! },
          (_, row) => expected[row % expected.length]!,
        );
        assert.deepEqual(result, wanted);
      }
    }
    const right = expected.filter((kind, row) => kind === classes[row]).length;
    assert.ok(right / classes.length > 0.9, `${right} of ${classes.length}`);
  });
});
