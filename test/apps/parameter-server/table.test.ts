import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Checksum } from '../../../apps/parameter-server/checksum.ts';
import {
  ChainingTable,
  OpenAddressingTable,
  type Table,
  TableFullError,
} from '../../../apps/parameter-server/table.ts';

type Layout = new (region: ArrayBuffer, offset: number, bytes: number) => Table;

const OFFSET = 64;
const GUARD = 0xa5;

const word: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
  fc.nat({ max: 0xffff_ffff }),
);
/** Few keys, so that updates meet each other; among them zero and keys that differ in one half only. */
const key: fc.Arbitrary<[number, number]> = fc.tuple(fc.nat({ max: 7 }), fc.nat({ max: 7 }));
const update: fc.Arbitrary<[[number, number], [number, number]]> = fc.tuple(key, fc.tuple(word, word));

function join(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

/** A table in the middle of a region whose rest must stay as it is. */
function create(layout: Layout, bytes: number): { table: Table; guards: () => boolean } {
  const region = new Uint8Array(OFFSET + bytes + OFFSET).fill(GUARD);
  const table = new layout(region.buffer, OFFSET, bytes);
  const outside = (value: number, index: number) =>
    (index >= OFFSET && index < OFFSET + bytes) || value === GUARD;
  return { table, guards: () => region.every(outside) };
}

function read(table: Table, low: number, high: number): bigint | undefined {
  const value = new Uint32Array(2);
  return table.get(low, high, value) ? join(value[0]!, value[1]!) : undefined;
}

/** What a table of this size should have done, over a `Map`. */
function applyToBoth(
  table: Table,
  updates: ReadonlyArray<[[number, number], [number, number]]>,
): { model: Map<bigint, bigint>; refused: number } {
  const model = new Map<bigint, bigint>();
  let refused = 0;
  for (const [[keyLow, keyHigh], [deltaLow, deltaHigh]] of updates) {
    const wanted = join(keyLow, keyHigh);
    if (model.size === table.capacity && !model.has(wanted)) {
      assert.throws(() => table.add(keyLow, keyHigh, deltaLow, deltaHigh), TableFullError);
      refused += 1;
      continue;
    }
    table.add(keyLow, keyHigh, deltaLow, deltaHigh);
    model.set(wanted, BigInt.asUintN(64, (model.get(wanted) ?? 0n) + join(deltaLow, deltaHigh)));
  }
  return { model, refused };
}

for (const layout of [OpenAddressingTable, ChainingTable] as const) {
  describe(layout.name, () => {
    test('does what a Map of 64-bit integers does, full or not, and stays in its region', () => {
      fc.assert(
        fc.property(
          fc.array(update, { maxLength: 200 }),
          fc.integer({ min: 48, max: 1600 }),
          (updates, bytes) => {
            const { table, guards } = create(layout, bytes);
            const { model } = applyToBoth(table, updates);
            assert.equal(table.size, model.size);
            for (let low = 0; low < 8; low += 1) {
              for (let high = 0; high < 8; high += 1) {
                assert.equal(read(table, low, high), model.get(join(low, high)));
              }
            }
            const expected = new Checksum();
            for (const [id, value] of model) {
              expected.add(
                Number(id & 0xffff_ffffn),
                Number(id >> 32n),
                Number(value & 0xffff_ffffn),
                Number(value >> 32n),
              );
            }
            assert.equal(table.checksum().toString(), expected.toString());
            assert.ok(guards());
          },
        ),
      );
    });

    test('holds as many keys as it says, refuses one more, and still updates those it holds', () => {
      const { table, guards } = create(layout, 4096);
      assert.ok(table.capacity * 32 >= 4096, `only ${table.capacity} keys fit into 4096 bytes`);
      for (let index = 0; index < table.capacity; index += 1) table.add(index, ~index >>> 0, index, 0);
      const before = table.checksum().toString();
      assert.throws(() => table.add(7, 7, 1, 0), { name: 'TableFullError', code: 'TABLE_FULL' });
      assert.equal(table.checksum().toString(), before);
      table.add(5, ~5 >>> 0, 0xffff_ffff, 0xffff_ffff);
      assert.equal(read(table, 5, ~5 >>> 0), 4n);
      assert.equal(read(table, 7, 7), undefined);
      assert.ok(guards());
    });

    test('starts empty in memory that was used before', () => {
      const region = new Uint8Array(4096).fill(GUARD).buffer;
      const table = new layout(region, 0, 4096);
      assert.equal(table.size, 0);
      assert.equal(read(table, 0xa5a5_a5a5, 0xa5a5_a5a5), undefined);
      assert.equal(read(table, 0, 0), undefined);
    });

    test('refuses a region that holds no entry', () => {
      assert.throws(() => new layout(new ArrayBuffer(64), 0, 16), RangeError);
    });
  });
}
