import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzCalls } from './fuzz-calls.ts';
import { fuzzLive } from './fuzz-live.ts';

/** Random hosts, for a short time; `fuzz-main.js --inputs N` goes on for long. */
const script = fc.array(fc.integer(), { minLength: 1, maxLength: 400, size: 'max' });

test('calls and port keep their promises under random hosts', (context) => {
  let inputs = 0;
  fc.assert(
    fc.property(script, (values) => {
      inputs += fuzzCalls(values);
    }),
    { numRuns: 2000 },
  );
  context.diagnostic(`${inputs} inputs`);
  assert.ok(inputs > 10_000);
});

test('a live enclave keeps its promises under random hosts', { timeout: 120_000 }, async (context) => {
  let inputs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer(), { minLength: 100, maxLength: 300 }), async (values) => {
      inputs += await fuzzLive(values);
    }),
    { numRuns: 12, interruptAfterTimeLimit: 10_000, markInterruptAsFailure: false, endOnFailure: true },
  );
  context.diagnostic(`${inputs} inputs`);
  assert.ok(inputs > 0);
});
