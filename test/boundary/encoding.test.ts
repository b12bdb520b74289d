import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { decode } from '../../src/boundary/decoder.ts';
import { encode } from '../../src/boundary/encoder.ts';
import type { Value } from '../../src/boundary/encoding.ts';
import { EncodingError } from '../../src/errors.ts';
import { ENCODING_BIGINT_MAX, ENCODING_DEPTH_MAX } from '../../src/limits.ts';

const MAXIMUM_BYTES = 65_536;

function encoded(value: unknown): Uint8Array<ArrayBuffer> {
  return encode(value, 'value', MAXIMUM_BYTES);
}

function decoded(bytes: Uint8Array<ArrayBuffer>): Value {
  return decode(bytes, 'value', MAXIMUM_BYTES);
}

function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

const key: fc.Arbitrary<string> = fc
  .string({ unit: 'grapheme', maxLength: 8 })
  .filter((name) => !['__proto__', 'constructor', 'prototype'].includes(name));
const { value } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, undefined, true, false),
    fc.double(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }),
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
    fc.uint8Array(),
    fc.uint8ClampedArray(),
    fc.int8Array(),
    fc.uint16Array(),
    fc.int16Array(),
    fc.uint32Array(),
    fc.int32Array(),
    fc.float32Array(),
    fc.float64Array(),
    fc.bigUint64Array(),
    fc.bigInt64Array(),
    fc.array(tie('value'), { maxLength: 6 }),
    fc.dictionary(key, tie('value'), { maxKeys: 6, noNullPrototype: true }),
  ),
}));

describe('encoding', () => {
  test('brings every value back as it was', () => {
    fc.assert(
      fc.property(value, (original) => {
        const bytes = encoded(original);
        assert.deepStrictEqual(decoded(bytes), original);
        assert.equal(bytes.buffer.byteLength, bytes.length);
      }),
      { numRuns: 1000 },
    );
  });

  test('brings the corners of numbers back', () => {
    const corners = [
      0,
      -0,
      1.5,
      Number.NaN,
      Infinity,
      -Infinity,
      2 ** 53 - 1,
      -(2 ** 53 - 1),
      2 ** 53,
      -(2 ** 53),
    ];
    const more = [
      23,
      24,
      255,
      256,
      65_535,
      65_536,
      2 ** 32 - 1,
      2 ** 32,
      -24,
      -25,
      -256,
      -257,
      Number.MIN_VALUE,
    ];
    for (const number of [...corners, ...more])
      assert.ok(Object.is(decoded(encoded(number)), number), `${number}`);
    for (const integer of [0n, 1n, -1n, 255n, 256n, -256n, -257n, 2n ** 64n, -(2n ** 64n), 2n ** 8191n]) {
      assert.equal(decoded(encoded(integer)), integer);
    }
  });

  test('writes what RFC 8949 and RFC 8746 say', () => {
    const cases: [unknown, string][] = [
      [[1, -1, 'a', null, true, undefined], '86 01 20 61 61 f6 f5 f7'],
      [{ b: 1.5, a: [] }, 'a2 61 62 fb 3ff8000000000000 61 61 80'],
      [Number.NaN, 'fb 7ff8000000000000'],
      [-0, 'fb 8000000000000000'],
      [18446744073709551616n, 'c2 49 010000000000000000'],
      [-18446744073709551617n, 'c3 49 010000000000000000'],
      [new Uint8Array([1, 2]), '42 0102'],
      [new Uint16Array([1, 2]), 'd8 45 44 01000200'],
      [new Float64Array([1]), 'd8 56 48 000000000000f03f'],
    ];
    for (const [original, hex] of cases) assert.equal(toHex(encoded(original)), hex.replaceAll(' ', ''));
  });

  test('takes plain data of another realm, without a prototype, and Node buffers, as plain data', () => {
    assert.deepStrictEqual(decoded(encoded(runInNewContext('({ a: [1, { b: 2 }] })'))), { a: [1, { b: 2 }] });
    assert.deepStrictEqual(decoded(encoded(Object.assign(Object.create(null), { a: 1 }))), { a: 1 });
    assert.deepStrictEqual(decoded(encoded(Buffer.from('abc'))), new Uint8Array([97, 98, 99]));
  });

  test('copies: neither side sees what the other writes later', () => {
    const original = new Uint8Array([1, 2, 3]);
    const bytes = encoded(original);
    original[0] = 9;
    const copy = decoded(bytes) as Uint8Array;
    bytes.fill(0);
    assert.deepStrictEqual(copy, new Uint8Array([1, 2, 3]));
  });

  test('names the place of what cannot cross, in one line', () => {
    class Account {}
    const cycle: Record<string, unknown> = { list: [] };
    (cycle['list'] as unknown[]).push(cycle);
    const cases: [unknown, RegExp][] = [
      [[0, { user: { name: () => 1 } }], /^arguments\[1\]\.user\.name: a function cannot/],
      [[Symbol('x')], /^arguments\[0\]: a symbol cannot/],
      [[{ 'odd\nkey': new Account() }], /^arguments\[0\]\["odd\\nkey"\]: an instance of Account cannot/],
      [[new Map()], /an instance of Map/],
      [[new Date(0)], /an instance of Date/],
      [[Promise.resolve()], /an instance of Promise/],
      [[new (class Rows extends Array {})()], /an instance of Rows/],
      [[cycle], /^arguments\[0\]\.list\[0\]: an object that contains itself/],
      [['\ud800'], /^arguments\[0\]: a string with half a surrogate pair/],
      [[{ [Symbol('s')]: 1 }], /key that is a symbol/],
      // biome-ignore lint/suspicious/noSparseArray: a hole is what is refused.
      [[[1, , 2]], /^arguments\[0\]\[1\]: a hole/],
      [[JSON.parse('{"__proto__": 1}')], /^arguments\[0\]\.__proto__: the key "__proto__"/],
      [[{ constructor: 1 }], /the key "constructor"/],
      [[{ prototype: 1 }], /the key "prototype"/],
      [[new DataView(new ArrayBuffer(8))], /a DataView cannot/],
      [[new Uint8Array(new SharedArrayBuffer(8))], /over shared memory cannot/],
      [[2n ** BigInt(8 * ENCODING_BIGINT_MAX)], /a bigint of more than 1024 bytes/],
      [['x'.repeat(MAXIMUM_BYTES)], /^arguments\[0\]: the value takes more than 65536 bytes/],
      [[new Array(2 ** 32 - 1)], /the value takes more than/],
    ];
    for (const [original, message] of cases) {
      assert.throws(
        () => encode(original, 'arguments', MAXIMUM_BYTES),
        (error) => {
          assert.ok(error instanceof EncodingError, String(error));
          assert.equal(error.code, 'SGXIO_ENCODING_INVALID');
          assert.match(error.message, message);
          assert.ok(!error.message.includes('\n'));
          return true;
        },
      );
    }
  });

  test('stops early on a value that refers to one part again and again', () => {
    let shared: unknown = [];
    for (let level = 0; level < 60; level += 1) shared = [shared, shared];
    assert.throws(() => encoded(shared), EncodingError);
  });

  test('nests as deep as the limit and no deeper, on both sides', () => {
    let nested: Value = [];
    for (let level = 1; level < ENCODING_DEPTH_MAX; level += 1)
      nested = level % 2 === 0 ? [nested] : { a: nested };
    const bytes = encoded(nested);
    assert.deepStrictEqual(decoded(bytes), nested);
    assert.throws(() => encoded([nested]), /deeper than 64 levels/);
    assert.throws(() => decoded(new Uint8Array([0x81, ...bytes])), /deeper than 64 levels/);
    assert.throws(() => decoded(new Uint8Array(MAXIMUM_BYTES).fill(0x81)), /deeper than 64 levels/);
    assert.throws(() => decoded(new Uint8Array(MAXIMUM_BYTES).fill(0xc2)), EncodingError);
  });

  test('keeps the limit of bytes to the byte', () => {
    const bytes = encode('x'.repeat(100), 'value', 102);
    assert.equal(bytes.length, 102);
    assert.throws(() => encode('x'.repeat(100), 'value', 101), /more than 101 bytes/);
    assert.equal(decode(bytes, 'value', 102), 'x'.repeat(100));
    assert.throws(() => decode(bytes, 'value', 101), /more than 101 bytes/);
  });
});

describe('decoding', () => {
  for (const [name, hex, message] of [
    ['nothing', '', /end in the middle/],
    ['an array that ends early', '82 01', /more items than there are bytes/],
    ['a string that ends early', '63 61', /not a strict encoding/],
    ['bytes behind the value', '01 01', /left over/],
    ['an array that claims 2^32 - 1 items', '9a ffffffff 00', /more items/],
    ['an array that claims 2^53 items', '9b 0020000000000000 00', /more items|strict/],
    ['a map that claims 2^31 entries', 'ba 80000000 00', /more items/],
    ['a byte string that claims 2^32 bytes', '5b 0000000100000000', /strict/],
    ['a key that comes twice', 'a2 61 61 01 61 61 02', /^value\.a: a key that comes twice/],
    ['a key that is a number', 'a1 01 01', /a key that is not a string/],
    ['the key __proto__', `a1 69 ${Buffer.from('__proto__').toString('hex')} a0`, /"__proto__"/],
    ['the key constructor', `a1 6b ${Buffer.from('constructor').toString('hex')} a0`, /"constructor"/],
    ['an array of indefinite length', '9f 01 ff', /strict/],
    ['a map of indefinite length', 'bf ff', /strict/],
    ['a string of indefinite length', '7f 61 61 ff', /strict/],
    ['a break alone', 'ff', /strict/],
    ['an integer that is longer than it need be', '18 01', /strict/],
    ['a length that is longer than it need be', '58 01 00', /strict/],
    ['an integer beyond 2^53', '1b 0020000000000000', /beyond 2\^53/],
    ['a negative integer beyond 2^53', '3b ffffffffffffffff', /beyond 2\^53/],
    ['a short float', 'f9 3e00', /one encoding/],
    ['a single float', 'fa 3fc00000', /one encoding/],
    ['an integer as a float', 'fb 3ff0000000000000', /one encoding/],
    ['another NaN', 'fb 7ff8000000000001', /NaN/],
    ['a negative NaN', 'fb fff8000000000000', /NaN/],
    ['an unknown tag', 'c0 61 61', /unknown tag 0/],
    ['a tag beyond 2^53', 'db ffffffffffffffff 40', /unknown tag/],
    ['a tag without bytes', 'd8 45 01', /without a byte string/],
    ['a tag within a tag', 'c2 c2 40', /without a byte string/],
    ['a typed array of half an element', 'd8 45 43 010203', /Uint16Array of 3 bytes/],
    ['a bigint with a leading zero', 'c2 42 0001', /bigint/],
    ['a simple value', 'f8 20', /strict/],
    ['a string that is not UTF-8', '62 c328', /UTF-8/],
    ['an encoded surrogate', '63 eda080', /UTF-8/],
  ] as const) {
    test(`refuses ${name}`, () => {
      assert.throws(
        () => decoded(fromHex(hex)),
        (error) => {
          assert.ok(error instanceof EncodingError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  test('keeps a byte order mark', () => {
    assert.equal(decoded(encoded('\ufeffa')), '\ufeffa');
  });

  test('of any bytes at all gives an EncodingError or the one value that they encode', () => {
    const mutated = fc
      .tuple(value, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }))
      .map(([original, changes]) => {
        const bytes = encoded(original);
        for (const [position, byte] of changes) bytes[position % bytes.length] = byte;
        return bytes;
      });
    const random = fc.uint8Array({ maxLength: 64 }).map((bytes) => new Uint8Array(bytes));
    fc.assert(
      fc.property(fc.oneof(mutated, random), (bytes) => {
        let result: Value;
        try {
          result = decoded(bytes);
        } catch (error) {
          assert.ok(error instanceof EncodingError, String(error));
          return;
        }
        const again = encoded(result);
        assert.equal(again.length, bytes.length);
        assert.deepStrictEqual(decoded(again), result);
      }),
      { numRuns: 3000 },
    );
  });

  test('never changes a prototype', () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decoded(new Uint8Array(bytes));
        } catch {}
      }),
    );
    assert.deepEqual(Object.getOwnPropertyNames(Object.prototype), before);
  });
});
