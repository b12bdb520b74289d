import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  COUNTERS,
  Count,
  Counters,
  LATENCY_BUCKETS,
  latencyBound,
  sumCounters,
} from '../../src/boundary/counters.ts';
import { CallKind } from '../../src/boundary/kinds.ts';
import { CALLS_IN_FLIGHT_MAX } from '../../src/limits.ts';

const kinds = Object.entries(CallKind);

test('calls, failures and bytes add up as in a plain account of them', () => {
  const call = fc.record({
    kind: fc.constantFrom(...kinds),
    result: fc.integer({ min: -133, max: 65_536 }),
    answered: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(call), (calls) => {
      const counters = new Counters();
      let inFlight = 0;
      let most = 0;
      for (const [index, { kind, result, answered }] of calls.entries()) {
        inFlight++;
        most = Math.max(most, inFlight);
        counters.begin(index + 1, kind[1], inFlight);
        if (!answered) continue;
        counters.end(index + 1, kind[1], result);
        inFlight--;
      }
      const counts = sumCounters([counters.cells]);
      const done = calls.filter(({ answered }) => answered);
      const bytes = (names: readonly string[]): number =>
        done
          .filter(({ kind, result }) => names.includes(kind[0]) && result > 0)
          .reduce((sum, { result }) => sum + result, 0);
      assert.equal(counts.calls, calls.length);
      for (const [name] of kinds) {
        assert.equal(counts.callsByKind[name], calls.filter((c) => c.kind[0] === name).length, name);
      }
      assert.equal(counts.failures, done.filter((c) => c.result < 0).length);
      assert.equal(counts.bytesIn, bytes(['receive', 'receiveFrom', 'readFile', 'readStream']));
      assert.equal(counts.bytesOut, bytes(['send', 'sendTo', 'writeFile', 'writeStream']));
      assert.equal(counts.inFlight, inFlight);
      assert.equal(counts.mostInFlight, most);
    }),
  );
});

test('one call in 64 of a slot is timed, and falls below the bound of its bucket', () => {
  const counters = new Counters();
  for (let generation = 1; generation <= 640; generation++) {
    const id = (generation * CALLS_IN_FLIGHT_MAX) | 5;
    counters.begin(id, CallKind.nothing, 1);
    counters.end(id, CallKind.nothing, 0);
  }
  const { latency } = sumCounters([counters.cells]);
  assert.equal(latency.count, 10);
  assert.ok(latency.sumNanoseconds > 0);
  assert.equal(latency.buckets.length, LATENCY_BUCKETS);
  assert.equal(latency.buckets.at(-1)?.belowNanoseconds, Number.POSITIVE_INFINITY);
  assert.equal(latency.buckets.at(-1)?.count, 10);
  for (let bucket = 1; bucket < LATENCY_BUCKETS; bucket++) {
    assert.ok(latencyBound(bucket) > latencyBound(bucket - 1));
    assert.ok(latency.buckets[bucket]!.count >= latency.buckets[bucket - 1]!.count);
  }
});

test('an answer without a beginning is no sample: a worker that takes over has not seen its beginnings', () => {
  const counters = new Counters();
  counters.end(64 * CALLS_IN_FLIGHT_MAX, CallKind.nothing, 0);
  assert.equal(sumCounters([counters.cells]).latency.count, 0);
});

test('what another side wrote is taken for a count only where it can be one', () => {
  const cells = new Float64Array(COUNTERS);
  cells[Count.parks] = Number.NaN;
  cells[Count.wakes] = Number.NEGATIVE_INFINITY;
  cells[Count.spins] = -1;
  cells[Count.answered] = 2 ** 60;
  cells[Count.failures] = 3;
  const { parks, wakes, spins, inFlight, failures } = sumCounters([cells, cells]);
  assert.deepEqual(
    { parks, wakes, spins, inFlight, failures },
    { parks: 0, wakes: 0, spins: 0, inFlight: 0, failures: 6 },
  );
});
