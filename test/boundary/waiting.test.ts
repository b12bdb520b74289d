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

/** How many waits sleep at once after one in which the core was taken. */
function sleepsAfterTaken(policy: WaitPolicy): number {
  policy.record(4000, 4000);
  let slept = 0;
  for (; policy.spinMicroseconds === 0 && slept < 100_000; slept++) {
    assert.equal(policy.pollsWithoutPause, 0);
    policy.record(10);
  }
  return slept;
}

test('where spinning found its core taken, the next waits sleep at once, and then it spins again', () => {
  const policy = after(new Array(100).fill(20));
  const { spinMicroseconds } = policy;
  const slept = sleepsAfterTaken(policy);
  assert.ok(slept > 0 && slept < 100, `${slept} waits`);
  assert.equal(policy.spinMicroseconds, spinMicroseconds);
  assert.ok(policy.pollsWithoutPause > 0);
});

test('where the core is taken again and again, more and more waits sleep, up to a limit', () => {
  const policy = after(new Array(100).fill(20));
  const slept = Array.from({ length: 12 }, () => sleepsAfterTaken(policy));
  assert.ok((slept.at(-1) as number) > 10 * (slept[0] as number), `${slept} waits`);
  assert.equal(slept.at(-1), slept.at(-2));
});

test('a long wait that was slept through takes no core for taken', () => {
  const policy = after(new Array(100).fill(20));
  policy.record(1e6, 50);
  assert.ok(policy.spinMicroseconds > 0);
});
