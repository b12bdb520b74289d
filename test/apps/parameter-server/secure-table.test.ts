import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SecureTable } from '../../../apps/parameter-server/secure-table.ts';
import { OpenAddressingTable } from '../../../apps/parameter-server/table.ts';
import { createHeap, MEBIBYTE } from '../../enclave/memory/support.ts';

const word: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
  fc.nat({ max: 0xffff_ffff }),
);
const update: fc.Arbitrary<[number, number, number, number]> = fc.tuple(
  fc.nat({ max: 40 }),
  word,
  word,
  word,
);

describe('SecureTable', () => {
  test('does what the table in private memory does, with a cache of few pages, full or not', () => {
    fc.assert(
      fc.property(
        fc.array(update, { maxLength: 300 }),
        fc.constantFrom(4096, 65_536, 300_000),
        (updates, bytes) => {
          const { heap } = createHeap(8, MEBIBYTE);
          const secure = new SecureTable(heap, bytes);
          const plain = new OpenAddressingTable(new ArrayBuffer(bytes), 0, bytes);
          assert.equal(secure.capacity, plain.capacity);
          const [mine, theirs] = [new Uint32Array(2), new Uint32Array(2)];
          for (const [low, high, deltaLow, deltaHigh] of updates) {
            let refused = false;
            try {
              plain.add(low, high, deltaLow, deltaHigh);
            } catch {
              refused = true;
            }
            if (refused)
              assert.throws(() => secure.add(low, high, deltaLow, deltaHigh), { code: 'TABLE_FULL' });
            else secure.add(low, high, deltaLow, deltaHigh);
            assert.equal(secure.get(low, high, mine), plain.get(low, high, theirs));
            assert.deepEqual(mine, theirs);
          }
          assert.equal(secure.size, plain.size);
          assert.equal(secure.checksum().toString(), plain.checksum().toString());
          heap.close();
        },
      ),
      { numRuns: 40 },
    );
  });

  test('refuses a size that holds no entry', () => {
    const { heap } = createHeap(8, MEBIBYTE);
    assert.throws(() => new SecureTable(heap, 16), RangeError);
    heap.close();
  });
});
