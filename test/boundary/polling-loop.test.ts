import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PollingLoop } from '../../src/boundary/polling-loop.ts';

const WORK_MILLISECONDS = 200;

function work(): void {
  for (const began = performance.now(); performance.now() - began < WORK_MILLISECONDS; );
}

test('what a look found is worked on, which is no waiting', async () => {
  const recorded: number[] = [];
  let found = 0;
  let parked = (): void => {};
  const parks = new Promise<void>((resolve) => {
    parked = resolve;
  });
  const loop = new PollingLoop({
    poll: () => {
      if (found === 3) return 0;
      // The first two are worked on at once, the last by a task that it wakes.
      if (++found < 3) work();
      else queueMicrotask(work);
      return 1;
    },
    awaits: () => false,
    park: () => {
      parked();
      return false;
    },
    unpark: () => {},
    rest: () => {},
    spinMicroseconds: () => 0,
    record: (microseconds) => recorded.push(microseconds),
    fail: (error) => assert.fail(error as Error),
  });
  loop.wake();
  await parks;
  loop.end();
  assert.equal(recorded.length, 3);
  for (const microseconds of recorded)
    assert.ok(microseconds < WORK_MILLISECONDS * 500, `${microseconds} µs`);
});
