import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WaitPolicy } from '../../src/boundary/waiting.ts';

const after = (waits: readonly number[]): WaitPolicy => {
  const policy = new WaitPolicy(true);
  for (const microseconds of waits) policy.record(microseconds);
  return policy;
};

test('after short waits it spins, after long ones hardly, and a busy time soon wins over an idle one', () => {
  const busy = after(new Array(100).fill(20)).spinMicroseconds;
  const idle = after(new Array(100).fill(1e6)).spinMicroseconds;
  assert.ok(busy >= 10 * idle, `${busy} and ${idle}`);
  assert.ok(idle > 0, 'it must notice when waits become short again');
  const again = after([...new Array<number>(100).fill(1e6), ...new Array<number>(16).fill(20)]);
  assert.equal(again.spinMicroseconds, busy);
});

test('however long waits were, no wait spins for longer than a tenth of a millisecond', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e12, noNaN: true })), (waits) => {
      const { spinMicroseconds } = after(waits);
      assert.ok(spinMicroseconds > 0 && spinMicroseconds <= 100);
    }),
  );
});

test('one that never spins sleeps at once', () => {
  const policy = new WaitPolicy(false);
  policy.record(1);
  assert.equal(policy.pollsWithoutPause, 0);
  assert.equal(policy.spinMicroseconds, 0);
});
