import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { countCycles, whyNoCycles } from '../../src/bench/cycles.ts';

test('cycles are counted, or a line says why not', async (context) => {
  const why = await whyNoCycles();
  if (why !== undefined) {
    assert.match(why, /^\w.*\w\)?$/);
    context.diagnostic(`no cycles: ${why}`);
    return;
  }
  const cycles = await countCycles([process.pid], async () => {
    for (const until = Date.now() + 100; Date.now() < until; );
  });
  assert.ok(cycles > 1e6, `${cycles} cycles`);
});
