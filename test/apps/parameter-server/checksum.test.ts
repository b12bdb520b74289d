import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Checksum } from '../../../apps/parameter-server/checksum.ts';

const MASK = 0xffff_ffffn;
const word: fc.Arbitrary<number> = fc.nat({ max: 0xffff_ffff });
const entry: fc.Arbitrary<[number, number, number, number]> = fc.tuple(word, word, word, word);

/** MurmurHash3_x86_32 as its author publishes it, in exact arithmetic. */
function murmur(seed: bigint, words: readonly number[]): bigint {
  const rotate = (value: bigint, by: bigint) => ((value << by) | (value >> (32n - by))) & MASK;
  let hash = seed;
  for (const value of words) {
    const scrambled = (rotate((BigInt(value) * 0xcc9e2d51n) & MASK, 15n) * 0x1b873593n) & MASK;
    hash = (rotate(hash ^ scrambled, 13n) * 5n + 0xe6546b64n) & MASK;
  }
  hash ^= BigInt(words.length * 4);
  hash = ((hash ^ (hash >> 16n)) * 0x85ebca6bn) & MASK;
  hash = ((hash ^ (hash >> 13n)) * 0xc2b2ae35n) & MASK;
  return hash ^ (hash >> 16n);
}

test('the checksum is the 64-bit sum of two MurmurHash3 of each entry, in any order', () => {
  fc.assert(
    fc.property(fc.array(entry), fc.nat(), (entries, rotation) => {
      let expected = 0n;
      for (const words of entries) {
        expected += murmur(0x53475849n, words) + (murmur(0x4f707331n, words) << 32n);
      }
      const checksum = new Checksum();
      const first = entries.length === 0 ? 0 : rotation % entries.length;
      for (const words of [...entries.slice(first), ...entries.slice(0, first)]) checksum.add(...words);
      assert.equal(checksum.toString(), BigInt.asUintN(64, expected).toString(16).padStart(16, '0'));
    }),
  );
});

test('a change to any word of an entry changes the checksum', () => {
  fc.assert(
    fc.property(
      entry,
      fc.nat({ max: 3 }),
      fc.integer({ min: 1, max: 0xffff_ffff }),
      (words, index, change) => {
        const before = new Checksum();
        before.add(...words);
        const changed: [number, number, number, number] = [...words];
        changed[index] = (changed[index]! ^ change) >>> 0;
        const after = new Checksum();
        after.add(...changed);
        assert.equal(before.equals(after), false);
      },
    ),
  );
});
