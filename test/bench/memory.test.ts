import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { memorySuite } from '../../src/bench/memory.ts';
import { memoryFigure, memorySeries } from '../../src/bench/memory-figure.ts';
import type { ParameterServerResult } from '../../src/bench/parameter-server.ts';

describe('the suite of secure memory', () => {
  test('measures every part, and the sorted and joined data are right', async () => {
    const told: string[] = [];
    const { suite, rows } = await memorySuite({ size: 'quick' }, (what) => told.push(what));
    assert.equal(suite, 'memory');
    assert.equal(told.length, 5);
    const kinds = new Set(rows.map((row) => row['what']));
    assert.deepEqual(
      [...kinds],
      [
        'hit-read',
        'hit-write',
        'element-read',
        'fault-clean',
        'fault-dirty',
        'sequential-read',
        'sub-page-read',
        'hit-ratio',
        'sort',
        'hash-join',
      ],
    );
    for (const row of rows) {
      for (const [name, value] of Object.entries(row)) {
        if (name.endsWith('_ns')) assert.ok(Number(value) > 0, `${row['what']} ${name} is ${value}`);
        if (name === 'equal') assert.equal(value, true);
      }
    }
  });
});

test('the figure has what was measured beside what was published, at every size of a model', () => {
  const results = [2, 64, 512].map(
    (modelMib): ParameterServerResult => ({
      suite: 'parameter-server',
      wire: 'memory',
      modelMib,
      verified: true,
      rows: ['direct', 'exitless', 'exit'].map((strategy, index) => ({ strategy, slowdown: 1 + index })),
    }),
  );
  const series = memorySeries(results);
  assert.deepEqual(
    series.map(({ name, origin }) => [name, origin]),
    [
      ['exitless', 'measured'],
      ['exit', 'measured'],
      ['direct', 'measured'],
      ['SGX: exits, hardware paging', 'published'],
      ['Eleos: exit-less, SUVM', 'published'],
    ],
  );
  for (const { points } of series)
    assert.deepEqual(
      points.map(({ items }) => items),
      [2, 64, 512],
    );
  assert.match(JSON.stringify(memoryFigure(series)), /Published: Eleos 2017, fig. 1/);
});
