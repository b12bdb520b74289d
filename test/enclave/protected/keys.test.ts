import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KeyOwner, Keys } from '../../../src/enclave/protected/keys.ts';
import { addressOf } from '../../../src/linux/ffi.ts';
import { pattern } from './support.ts';

const NONCE = 64;
const INPUT = 128;
const SEALED = 256;
const OPENED = 384;
const TAG = 512;
const LENGTH = 100;
const GENERATION_SEALS = 2 ** 24;

function setUp(): { bytes: Uint8Array<ArrayBuffer>; keys: Keys } {
  const bytes = new Uint8Array(1024);
  const memory = { address: addressOf(bytes), buffer: bytes.buffer };
  bytes.set(pattern(1, LENGTH), INPUT);
  return { bytes, keys: new Keys(memory, 0, pattern(2, 32), pattern(3, 16)) };
}

function seal(keys: Keys, owner: KeyOwner, seals: number): void {
  keys.forSealing(owner, seals, NONCE).seal(NONCE, INPUT, LENGTH, SEALED, TAG);
}

function opens(keys: Keys, owner: KeyOwner): boolean {
  return keys.forOpening(owner, NONCE).open(NONCE, SEALED, LENGTH, OPENED, TAG);
}

test('F6: the key of a file changes before nonces of one key could meet, and older blocks stay readable', () => {
  const { bytes, keys } = setUp();
  const owner = { number: 5, incarnation: 0 };
  const generations = [0, GENERATION_SEALS - 1, GENERATION_SEALS, 300 * GENERATION_SEALS].map((seals) => {
    seal(keys, owner, seals);
    assert.ok(opens(keys, owner));
    assert.deepEqual(bytes.slice(OPENED, OPENED + LENGTH), pattern(1, LENGTH));
    return bytes[NONCE]! + 256 * bytes[NONCE + 1]!;
  });
  assert.deepEqual(generations, [0, 0, 1, 300]);
  seal(keys, owner, GENERATION_SEALS);
  bytes[NONCE] = 0;
  assert.equal(opens(keys, owner), false);
});

test('F2: a block does not open as one of another file, or of a file that had its number before', () => {
  const { keys } = setUp();
  seal(keys, { number: 5, incarnation: 1 }, 0);
  assert.equal(opens(keys, { number: 6, incarnation: 1 }), false);
  assert.equal(opens(keys, { number: 5, incarnation: 0 }), false);
  assert.equal(opens(keys, { number: 5, incarnation: 1 }), true);
});

test('more files than ciphers take turns', () => {
  const { keys } = setUp();
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < 200; number++) {
      seal(keys, { number, incarnation: 0 }, 0);
      assert.ok(opens(keys, { number, incarnation: 0 }));
      assert.equal(opens(keys, { number: number + 1, incarnation: 0 }), false);
    }
  }
});

test('nonces of many seals are all different', () => {
  const { bytes, keys } = setUp();
  const seen = new Set<string>();
  for (let seals = 0; seals < 20_000; seals++) {
    keys.forSealing({ number: 1, incarnation: 0 }, seals, NONCE);
    seen.add(Buffer.from(bytes.subarray(NONCE, NONCE + 12)).toString('hex'));
  }
  assert.equal(seen.size, 20_000);
});
