import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CALL_KINDS, CallKind, callRules } from '../../src/boundary/kinds.ts';

test('every kind of call has a number of its own, and a rule', () => {
  const numbers = Object.values(CallKind);
  assert.equal(new Set(numbers).size, numbers.length);
  assert.ok(numbers.every((number) => number > 0 && number < CALL_KINDS));
  assert.deepEqual(Object.keys(callRules).sort(), Object.keys(CallKind).sort());
});
