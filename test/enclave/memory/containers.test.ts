import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SecureArray } from '../../../src/enclave/memory/array.ts';
import { SecureBlob } from '../../../src/enclave/memory/blob.ts';
import type { SecureHeap } from '../../../src/enclave/memory/heap.ts';
import { hashJoin } from '../../../src/enclave/memory/join.ts';
import { SecureMap } from '../../../src/enclave/memory/map.ts';
import { SecureNumberMap } from '../../../src/enclave/memory/number-map.ts';
import { sort } from '../../../src/enclave/memory/sort.ts';
import { createHeap, MEBIBYTE, seededRandom } from './support.ts';

const outside = { code: 'SGXIO_INVALID_ARGUMENT' };
const FRAMES = 8;

function smallHeap(): SecureHeap {
  return createHeap(FRAMES, 4 * MEBIBYTE).heap;
}

describe('SecureArray', () => {
  it('is a plain array under random work', () => {
    using heap = smallHeap();
    using array = new SecureArray(heap, 'i32', 0);
    const model: number[] = [];
    const below = seededRandom(5);
    for (let step = 0; step < 30_000; step++) {
      const value = below(2 ** 32) - 2 ** 31;
      const index = below(model.length);
      const choice = below(20);
      if (choice < 10) {
        array.push(value);
        model.push(value);
      } else if (choice < 12) {
        assert.equal(array.pop(), model.pop());
      } else if (choice < 15 && model.length > 0) {
        array.set(index, value);
        model[index] = value;
      } else if (choice < 19 && model.length > 0) {
        assert.equal(array.get(index), model[index]);
      } else if (below(50) === 0) {
        const length = Math.max(0, model.length - 50 + below(150));
        array.resize(length);
        while (model.length < length) model.push(0);
        model.length = length;
      } else if (model.length > 0) {
        const to = index + below(model.length - index);
        array.fill(value, index, to);
        model.fill(value, index, to);
      }
      assert.equal(array.length, model.length);
    }
    assert.ok(model.length > FRAMES * 1024);
    assert.deepEqual([...array], model);
    const chunks: number[] = [];
    for (const chunk of array.chunks(3, model.length - 3)) chunks.push(...chunk);
    assert.deepEqual(chunks, model.slice(3, -3));
  });

  it('holds every kind of element', () => {
    using heap = smallHeap();
    const kinds = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'f64'] as const;
    const expected = [255, -1, 65535, -1, 2 ** 32 - 1, -1, -1, -1];
    for (const [index, kind] of kinds.entries()) {
      using array = new SecureArray(heap, kind, 10_000);
      array.set(9999, -1);
      assert.equal(array.get(9999), expected[index], kind);
      assert.equal(array.get(9998), 0);
    }
    for (const kind of ['u64', 'i64'] as const) {
      using array = new SecureArray(heap, kind, 10_000);
      array.set(9999, -1n);
      assert.equal(array.get(9999), kind === 'u64' ? 2n ** 64n - 1n : -1n);
    }
  });

  it('refuses every access outside it', () => {
    using heap = smallHeap();
    using array = new SecureArray(heap, 'f64', 100);
    array.set(0, 1);
    for (const index of [-1, 100, 2 ** 32, 2 ** 53, Number.NaN, Infinity]) {
      assert.throws(() => array.get(index), outside);
      assert.throws(() => array.set(index, 1), outside);
      assert.throws(() => array.read(index, new Float64Array(1)), outside);
      assert.throws(() => array.write(index, new Float64Array(1)), outside);
      assert.throws(() => array.fill(1, index, index + 1), outside);
      assert.throws(() => [...array.chunks(index, index + 1)], outside);
    }
    array.resize(50);
    assert.throws(() => array.get(50), outside);
    array.resize(100);
    assert.equal(array.get(60), 0);
    assert.throws(() => new SecureArray(heap, 'u8', -1), outside);
  });

  it('takes hints, and is itself again afterwards', () => {
    using heap = smallHeap();
    using array = new SecureArray(heap, 'u32', 20_000, { sparse: true });
    for (let index = 0; index < array.length; index += 100) array.set(index, index);
    array.unlink();
    array.dontNeed(0, array.length);
    const { majorFaults } = heap.counters();
    array.willNeed(1024, 3072);
    assert.equal(array.get(2000), 2000);
    assert.equal(heap.counters().majorFaults, majorFaults);
    array.unlink();
    const piece = new Uint32Array(1);
    array.read(9000, piece);
    assert.equal(piece[0], 9000);
    assert.ok(heap.counters().directReads > 0);
    assert.throws(() => array.willNeed(0, 20_001), outside);
  });

  it('frees its memory at the end of its scope, and pins one page until then', () => {
    using heap = smallHeap();
    const { usedBytes } = heap.counters();
    {
      using array = new SecureArray(heap, 'u8', 100_000);
      array.fill(1);
      assert.equal(heap.linked.length, 1);
    }
    assert.equal(heap.linked.length, 0);
    assert.equal(heap.counters().usedBytes, usedBytes);
  });
});

describe('SecureBlob', () => {
  it('is a buffer under random work', () => {
    using heap = smallHeap();
    using blob = new SecureBlob(heap, 'hello');
    let model = Buffer.from('hello');
    const below = seededRandom(6);
    for (let step = 0; step < 2000; step++) {
      const source = Uint8Array.from({ length: below(300) }, () => below(256));
      const offset = below(model.length + 1);
      const choice = below(20);
      if (choice < 6) {
        blob.append(source);
        model = Buffer.concat([model, source]);
      } else if (choice < 12) {
        blob.write(offset, source);
        model = Buffer.concat([model.subarray(0, offset), source, model.subarray(offset + source.length)]);
      } else if (choice === 12) {
        blob.resize(offset);
        model = model.subarray(0, offset);
      } else {
        const to = offset + below(model.length - offset + 1);
        assert.ok(Buffer.from(blob.slice(offset, to)).equals(model.subarray(offset, to)));
      }
      assert.equal(blob.length, model.length);
    }
    assert.ok(Buffer.concat([...blob]).equals(model));
    using same = new SecureBlob(heap, Uint8Array.from(model));
    assert.ok(blob.equals(same));
    same.append(new Uint8Array(1));
    assert.ok(!blob.equals(same));
    assert.throws(() => blob.slice(0, blob.length + 1), outside);
    assert.throws(() => blob.write(blob.length + 1, new Uint8Array(1)), outside);
    assert.equal(new SecureBlob(heap, 'grüße').text(), 'grüße');
  });
});

describe('SecureNumberMap', () => {
  it('is a Map under random work', () => {
    using heap = smallHeap();
    using map = new SecureNumberMap(heap, 20);
    const model = new Map<number, number>();
    const below = seededRandom(7);
    const value = new Uint8Array(20);
    const view = new DataView(value.buffer);
    for (let step = 0; step < 30_000; step++) {
      const key = [below(4000), below(4000) / 7, -below(10)][below(3)]!;
      switch (below(4)) {
        case 0:
          assert.equal(map.delete(key), model.delete(key));
          break;
        case 1: {
          assert.equal(map.get(key, value), model.has(key));
          if (model.has(key)) assert.equal(view.getFloat64(12, true), model.get(key));
          break;
        }
        default:
          view.setFloat64(12, step, true);
          map.set(key, value);
          model.set(key, step);
      }
      assert.equal(map.size, model.size);
    }
    assert.ok(model.size > 2000);
    const content = [...map].map(([key, offset]) => [key, map.values.getFloat64(offset + 12)] as const);
    assert.deepEqual(new Map(content), model);
  });

  it('has one zero, no NaN, and values where `put` says', () => {
    using heap = smallHeap();
    using map = new SecureNumberMap(heap, 8, { capacity: 1000 });
    assert.equal(map.find(0), -1);
    map.values.setFloat64(map.put(0), 5);
    assert.equal(map.find(-0), map.put(0));
    assert.equal(map.values.getFloat64(map.find(-0)), 5);
    assert.equal(map.size, 1);
    assert.deepEqual(
      [...map].map(([key]) => key),
      [0],
    );
    assert.throws(() => map.put(Number.NaN), outside);
    assert.throws(() => map.set(1, new Uint8Array(7)), outside);
    assert.ok(map.put(Infinity) > 0 && map.has(Infinity) && !map.has(-Infinity));
  });
});

for (const index of ['open', 'chained'] as const) {
  describe(`SecureMap (${index})`, () => {
    it('is a Map under random work, values of any length', () => {
      using heap = smallHeap();
      const { usedBytes } = heap.counters();
      {
        using map = new SecureMap(heap, { keys: 'string', index });
        const model = new Map<string, Uint8Array>();
        const below = seededRandom(8);
        for (let step = 0; step < 8000; step++) {
          const key = 'k'.repeat(below(3)) + below(700);
          const choice = below(5);
          if (choice === 0) assert.equal(map.delete(key), model.delete(key));
          else if (choice === 1) assert.deepEqual(map.get(key), model.get(key));
          else if (choice === 2) assert.equal(map.has(key), model.has(key));
          else {
            const value = new Uint8Array(below([10, 100, 6000][below(3)]!)).fill(step);
            if (model.size > 250 && !model.has(key)) continue;
            map.set(key, value);
            model.set(key, value);
          }
          assert.equal(map.size, model.size);
        }
        assert.ok(model.size > 200);
        assert.deepEqual(new Map(map.entries()), model);
      }
      assert.equal(heap.counters().usedBytes, usedBytes);
    });

    it('takes numbers, text and bytes as keys, and values of a fixed width', () => {
      using heap = smallHeap();
      using numbers = new SecureMap(heap, { keys: 'number', valueBytes: 3, index });
      numbers.set(-0, Uint8Array.of(1, 2, 3));
      assert.deepEqual(numbers.get(0), Uint8Array.of(1, 2, 3));
      assert.throws(() => numbers.set(1, new Uint8Array(2)), outside);
      numbers.unlink();
      using bytes = new SecureMap(heap, { keys: 'bytes', index });
      bytes.set(new Uint8Array(0), Uint8Array.of(4));
      bytes.set(new Uint8Array(1), Uint8Array.of(5));
      assert.deepEqual(bytes.get(new Uint8Array(0)), Uint8Array.of(4));
      assert.deepEqual([...bytes].map(([key]) => key.length).sort(), [0, 1]);
    });
  });
}

describe('sort', () => {
  it('does what sorting a typed array does, with arrays much larger than the cache', () => {
    using heap = smallHeap();
    const below = seededRandom(9);
    const source = Float64Array.from({ length: 40_000 }, () =>
      below(50) === 0 ? [Number.NaN, 0, -0, Infinity, -Infinity][below(5)]! : below(10_000) - 5000.5,
    );
    using array = new SecureArray(heap, 'f64', source.length);
    assert.ok(source.byteLength > 9 * FRAMES * 4096);
    for (const scratchBytes of [24_576, 65_536, 2 ** 20]) {
      array.write(0, source);
      sort(array, scratchBytes);
      const sorted = new Float64Array(source.length);
      array.read(0, sorted);
      assert.ok(
        Buffer.from(sorted.buffer).equals(Buffer.from(source.slice().sort().buffer)),
        `${scratchBytes}`,
      );
    }
    array.unlink();
    using big = new SecureArray(heap, 'i64', 10_000);
    const values = BigInt64Array.from({ length: 10_000 }, () => BigInt(below(1000)) - 500n);
    big.write(0, values);
    sort(big, 24_576);
    assert.deepEqual([...big], [...values.sort()]);
  });
});

describe('hashJoin', () => {
  it('finds the pairs that two loops find', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 60 }), (seed, keys) => {
        const below = seededRandom(seed);
        using heap = createHeap(FRAMES, MEBIBYTE).heap;
        const key = () => [below(keys) - 3, -0, below(keys) / 3][below(3)]!;
        const rows = (count: number) =>
          Float64Array.from({ length: count * 2 }, (_, at) => (at % 2 ? at : key()));
        const left = rows(below(150));
        const right = rows(below(300));
        using build = new SecureArray(heap, 'f64', left.length);
        using probe = new SecureArray(heap, 'f64', right.length);
        build.write(0, left);
        probe.write(0, right);
        build.unlink();
        probe.unlink();
        const expected: string[] = [];
        for (let one = 0; one < left.length; one += 2) {
          for (let two = 0; two < right.length; two += 2) {
            if (left[one] === right[two])
              expected.push(`${left[one]! + 0} ${left[one + 1]} ${right[two + 1]}`);
          }
        }
        for (const rowsAtOnce of [16, 65_536]) {
          const found: string[] = [];
          const count = hashJoin(build, probe, (k, a, b) => found.push(`${k + 0} ${a} ${b}`), rowsAtOnce);
          assert.equal(count, expected.length);
          assert.deepEqual(found.sort(), expected.sort());
        }
      }),
      { numRuns: 30 },
    );
  });
});
