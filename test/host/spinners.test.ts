import assert from 'node:assert/strict';
import { test } from 'node:test';
import { releaseSpinnerSlot, Spinners, spinnersBuffer, takeSpinnerSlot } from '../../src/host/spinners.ts';

test('no more workers spin than may, and one that died no longer counts', () => {
  const slots = [takeSpinnerSlot(), takeSpinnerSlot(), takeSpinnerSlot()];
  assert.equal(new Set(slots).size, 3);
  const [first, second, third] = slots.map((slot) => new Spinners(spinnersBuffer(), slot, 2)) as [
    Spinners,
    Spinners,
    Spinners,
  ];
  assert.deepEqual([first.enter(), second.enter(), third.enter()], [true, true, false]);
  assert.equal(third.enter(), false);
  second.leave();
  assert.equal(third.enter(), true);
  assert.equal(second.enter(), false);
  releaseSpinnerSlot(slots[0] as number);
  assert.equal(second.enter(), true);
  for (const slot of slots) releaseSpinnerSlot(slot);
});

test('slots are given again, and who has none does not spin', () => {
  const slots: number[] = [];
  for (let slot = takeSpinnerSlot(); slot >= 0; slot = takeSpinnerSlot()) slots.push(slot);
  assert.equal(new Spinners(spinnersBuffer(), -1).enter(), false);
  releaseSpinnerSlot(slots[7] as number);
  assert.equal(takeSpinnerSlot(), slots[7]);
  for (const slot of slots) releaseSpinnerSlot(slot);
});
