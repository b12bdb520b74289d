import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { measureClockCost, median, percentile, summarize } from '../../src/bench/statistics.ts';

const samples: fc.Arbitrary<number[]> = fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), {
  minLength: 1,
});

test('a percentile is the smallest sample that so many do not exceed', () => {
  fc.assert(
    fc.property(samples, fc.integer({ min: 1, max: 100 }), (values, percent) => {
      const found = percentile(Float64Array.from(values).sort(), percent);
      const hundredfold = (limit: (value: number) => boolean) => 100 * values.filter(limit).length;
      assert.ok(values.some((value) => value === found));
      assert.ok(hundredfold((value) => value <= found) >= percent * values.length);
      assert.ok(hundredfold((value) => value < found) < percent * values.length);
    }),
  );
});

test('the median has as many samples below as above', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(median([7]), 7);
  fc.assert(
    fc.property(samples, (values) => {
      const middle = median(values);
      const below = values.filter((value) => value < middle).length;
      const above = values.filter((value) => value > middle).length;
      assert.ok(below <= values.length / 2 && above <= values.length / 2);
    }),
  );
});

test('a summary does not depend on the order of its samples, nor change it', () => {
  const values = Array.from({ length: 1000 }, (_, index) => (index * 7919) % 1000);
  const before = [...values];
  const summary = summarize(values);
  assert.deepEqual(values, before);
  assert.deepEqual(summary, {
    count: 1000,
    minimum: 0,
    mean: 499.5,
    p50: 499,
    p90: 899,
    p99: 989,
    maximum: 999,
  });
});

test('of nothing there are no statistics', () => {
  for (const compute of [median, summarize]) {
    assert.throws(() => compute([]), { code: 'SGXIO_INVALID_ARGUMENT' });
  }
});

test('reading the clock costs something, and far less than a millisecond', () => {
  const cost = measureClockCost();
  assert.ok(cost > 0 && cost < 1e6, `${cost} ns`);
});
