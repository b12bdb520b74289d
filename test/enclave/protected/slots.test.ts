import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createSlotMemory, type Released, Slots } from '../../../src/enclave/protected/slots.ts';

const step = fc.oneof(
  { weight: 10, arbitrary: fc.constant({ kind: 'allocate' as const, which: 0 }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('release' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'commit' as const, which: 0 }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'fail' as const, which: 0 }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fly' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'land' as const, which: 0 }) },
);

test('a slot is never given out while a state needs it, or a write is on its way to it', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const slots = new Slots(createSlotMemory());
      slots.reset(4);
      const used: number[] = [];
      let committed = new Set<number>();
      /** Of commits that failed: either may be on the disk. */
      let maybe = new Set<number>();
      const flying = new Set<number>();
      let pending: Released | undefined;
      for (const { kind, which } of steps) {
        if (kind === 'allocate') {
          const slot = slots.allocate();
          assert.ok(
            slot >= 4 &&
              !used.includes(slot) &&
              !committed.has(slot) &&
              !maybe.has(slot) &&
              !flying.has(slot),
          );
          used.push(slot);
        } else if (kind === 'release' && used.length > 0) {
          slots.release(used.splice(which % used.length, 1)[0]!);
        } else if (kind === 'commit') {
          const quiet = flying.size === 0;
          pending = slots.freeze(quiet);
          slots.settle(pending);
          committed = new Set(used);
          maybe = new Set();
        } else if (kind === 'fail') {
          slots.freeze(true);
          maybe = new Set([...maybe, ...used]);
        } else if (kind === 'fly' && used.length > 0) {
          const slot = used[which % used.length]!;
          slots.hold(slot);
          flying.add(slot);
        } else if (kind === 'land') {
          flying.clear();
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('the slots of 10 GB are kept in less than a mebibyte', () => {
  const memory = createSlotMemory();
  const slots = new Slots(memory);
  slots.reset(4);
  const count = 10_000_000_000 / 4096;
  for (let index = 0; index < count; index++) slots.allocate();
  assert.ok(memory.byteLength < 1_000_000, `${memory.byteLength} bytes`);
  assert.ok(slots.end >= count);
});

test('what is put back is given out next', () => {
  const slots = new Slots(createSlotMemory());
  slots.reset(4);
  const first = slots.allocate();
  slots.putBack(slots.allocate());
  assert.equal(slots.allocate(), first + 1);
});
