import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Deadlines } from '../../src/host/deadlines.ts';
import { DEADLINES_KEPT_MIN } from '../../src/limits.ts';

test('what matters and is late is taken, the earliest first, and nothing else', () => {
  const entry = fc.record({ late: fc.boolean(), matters: fc.boolean(), order: fc.nat(100) });
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      const deadlines = new Deadlines<(typeof entries)[number]>(({ matters }) => matters);
      for (const value of entries) deadlines.add(value, value.late ? -1000 - value.order : 1e9);
      const taken: number[] = [];
      for (let late = deadlines.takeLate(); late !== undefined; late = deadlines.takeLate()) {
        assert.ok(late.late && late.matters);
        taken.push(-late.order);
      }
      assert.equal(taken.length, entries.filter(({ late, matters }) => late && matters).length);
      assert.deepEqual(
        taken,
        taken.toSorted((a, b) => a - b),
      );
    }),
  );
});

test('deadlines of answered calls do not pile up, and the others stay', () => {
  const waiting = new Set<number>();
  const deadlines = new Deadlines<number>((value) => waiting.has(value));
  for (let call = 0; call < 100_000; call++) {
    waiting.add(call);
    deadlines.add(call, 60_000);
    if (call % 1000 !== 0) waiting.delete(call);
    assert.ok(deadlines.length <= 2 * waiting.size + DEADLINES_KEPT_MIN, `${deadlines.length} are kept`);
  }
  assert.equal(waiting.size, 100);
  assert.ok(deadlines.length >= 100);
});

test('a sleep ends with the next deadline that matters', () => {
  const waiting = new Set(['answered', 'waiting']);
  const deadlines = new Deadlines<string>((value) => waiting.has(value));
  assert.equal(deadlines.clamp(-1), -1);
  deadlines.add('answered', -5);
  deadlines.add('waiting', 1e6);
  assert.equal(deadlines.clamp(-1), 0);
  waiting.delete('answered');
  assert.ok(deadlines.clamp(-1) > 900_000);
  assert.equal(deadlines.clamp(50), 50);
  assert.equal(deadlines.clamp(0), 0);
  waiting.delete('waiting');
  assert.equal(deadlines.clamp(-1), -1);
  assert.equal(deadlines.length, 0);
});
