import assert from 'node:assert/strict';
import { createCipheriv, randomFillSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { addressOf } from '../../src/linux/ffi.ts';
import { type AesGcm, createAesGcm, createNodeAesGcm, type KeyBytes } from '../../src/linux/openssl.ts';

const KEY = 0;
const NONCE = 64;
const TAG = 128;
const PLAIN = 4096;
const SEALED = 8192;
const OPENED = 12288;

function privateBytes(): {
  bytes: Uint8Array<ArrayBuffer>;
  memory: { address: number; buffer: ArrayBuffer };
} {
  const bytes = randomFillSync(new Uint8Array(16384));
  return { bytes, memory: { address: addressOf(bytes), buffer: bytes.buffer } };
}

for (const keyBytes of [16, 32] as KeyBytes[]) {
  for (const create of [createAesGcm, createNodeAesGcm]) {
    describe(`${create.name} with a key of ${keyBytes} bytes`, () => {
      const { bytes, memory } = privateBytes();
      const cipher: AesGcm = create(memory, keyBytes);
      cipher.setKey(KEY);

      it('uses the OpenSSL inside Node where it was not told otherwise', () => {
        assert.equal(cipher.implementation, create === createAesGcm ? 'openssl' : 'node:crypto');
      });

      it('seals what node:crypto seals, at every length', () => {
        for (const length of [0, 1, 15, 16, 17, 1024, 4096]) {
          randomFillSync(bytes, NONCE, 12);
          cipher.seal(NONCE, PLAIN, length, SEALED, TAG);
          const oracle = createCipheriv(
            keyBytes === 16 ? 'aes-128-gcm' : 'aes-256-gcm',
            bytes.subarray(KEY, KEY + keyBytes),
            bytes.subarray(NONCE, NONCE + 12),
          );
          const expected = Buffer.concat([
            oracle.update(bytes.subarray(PLAIN, PLAIN + length)),
            oracle.final(),
          ]);
          assert.deepEqual(Buffer.from(bytes.subarray(SEALED, SEALED + length)), expected);
          assert.deepEqual(Buffer.from(bytes.subarray(TAG, TAG + 16)), oracle.getAuthTag());
        }
      });

      it('opens what it sealed, in place too, and refuses a change of any operand', () => {
        cipher.seal(NONCE, PLAIN, 4096, SEALED, TAG);
        assert.equal(cipher.open(NONCE, SEALED, 4096, OPENED, TAG), true);
        const plain = bytes.slice(PLAIN, PLAIN + 4096);
        assert.deepEqual(bytes.slice(OPENED, OPENED + 4096), plain);
        for (const changed of [NONCE, NONCE + 11, SEALED, SEALED + 4095, TAG, TAG + 15]) {
          bytes[changed]! ^= 0x80;
          assert.equal(cipher.open(NONCE, SEALED, 4096, OPENED, TAG), false, `byte ${changed}`);
          bytes[changed]! ^= 0x80;
        }
        assert.equal(cipher.open(NONCE, SEALED, 4095, OPENED, TAG), false, 'truncated');
        assert.equal(cipher.open(NONCE, SEALED, 4096, SEALED, TAG), true);
        assert.deepEqual(bytes.slice(SEALED, SEALED + 4096), plain);
      });

      it('opens in place what lies in other memory, and refuses a change of it', () => {
        const other = privateBytes();
        const at = other.bytes.byteOffset + 512;
        cipher.seal(NONCE, PLAIN, 4096, SEALED, TAG);
        other.bytes.set(bytes.subarray(SEALED, SEALED + 4096), 512);
        const around = Buffer.concat([other.bytes.subarray(0, 512), other.bytes.subarray(4608)]);
        other.bytes[600]! ^= 1;
        const changed = other.bytes.slice(512, 4608);
        assert.equal(cipher.openWithin(other.memory, at, 4096, NONCE, TAG), false);
        other.bytes.set(changed, 512);
        other.bytes[600]! ^= 1;
        assert.equal(cipher.openWithin(other.memory, at, 4096, NONCE, TAG), true);
        assert.deepEqual(other.bytes.slice(512, 4608), bytes.slice(PLAIN, PLAIN + 4096));
        assert.ok(Buffer.concat([other.bytes.subarray(0, 512), other.bytes.subarray(4608)]).equals(around));
      });

      it('changes its key', () => {
        cipher.seal(NONCE, PLAIN, 4096, SEALED, TAG);
        bytes[KEY]! ^= 1;
        cipher.setKey(KEY);
        assert.equal(cipher.open(NONCE, SEALED, 4096, OPENED, TAG), false);
        bytes[KEY]! ^= 1;
        cipher.setKey(KEY);
        assert.equal(cipher.open(NONCE, SEALED, 4096, OPENED, TAG), true);
      });
    });
  }
}
