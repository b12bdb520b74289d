/**
 * A page of 4 KiB is sealed: encrypted, with a tag over it. sgxio uses the OpenSSL inside Node with a context that
 * it keeps; the others are called as their documentation says.
 */
import { execFileSync } from 'node:child_process';
import { createCipheriv, createSecretKey, randomBytes } from 'node:crypto';
import process from 'node:process';
import { gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import sodium from 'sodium-native';
import { load, ownProcessor, report, reportSkipped, timed, versionOf } from './peers.mjs';
import { versionFrom } from './servers.mjs';

const PAGE_BYTES = 4096;
const COUNT = 1000;
const NANOSECONDS_A_SECOND = 1e9;
/** Where the operands of sgxio's cipher lie in its memory. */
const PLACES = { key: 0, nonce: 64, tag: 128, input: 4096, output: 8192 };

const { createAesGcm } = await load('linux/openssl.js');
const { addressOf } = await load('linux/ffi.js');

const page = randomBytes(PAGE_BYTES);
const sealed = Buffer.alloc(PAGE_BYTES + 16);
const key = randomBytes(32);
const nonce = randomBytes(12);
const keyObject = createSecretKey(key.subarray(0, 16));

const buffer = new ArrayBuffer(4 * PAGE_BYTES);
const bytes = new Uint8Array(buffer);
bytes.set(key.subarray(0, 16), PLACES.key);
bytes.set(page, PLACES.input);
const cipher = createAesGcm({ address: addressOf(bytes), buffer }, 16);
cipher.setKey(PLACES.key);

function sealWithSgxio() {
  cipher.seal(PLACES.nonce, PLACES.input, PAGE_BYTES, PLACES.output, PLACES.tag);
}

function sealWithNode(algorithm, cipherKey) {
  const one = createCipheriv(algorithm, cipherKey, nonce, { authTagLength: 16 });
  one.update(page);
  one.final();
  return one.getAuthTag();
}

function sealWithSodium() {
  sodium.crypto_aead_chacha20poly1305_ietf_encrypt(sealed, page, null, null, nonce, key);
}

/**
 * What OpenSSL's own `speed` says of the same cipher and size, in C, from the system's library. It makes no tag and
 * no nonce for a page, which is why it is a floor. It runs for a second, so that a round has one figure of it.
 */
function opensslSpeed() {
  const version = versionFrom('openssl', 'version');
  if (version === undefined)
    return reportSkipped('openssl is not installed (Debian: apt-get install openssl)');
  const flags = [
    'speed',
    '-mr',
    '-elapsed',
    '-seconds',
    '1',
    '-bytes',
    String(PAGE_BYTES),
    '-evp',
    'aes-128-gcm',
  ];
  let used = 0;
  return {
    name: 'openssl speed, aes-128-gcm',
    version: version.split(' ')[1],
    side: 'floor',
    sample: (count) => {
      const report = execFileSync('openssl', flags, {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const bytesASecond = Number(/^\+F:.*:([\d.]+)$/m.exec(report)[1]);
      const nanoseconds = (PAGE_BYTES / bytesASecond) * NANOSECONDS_A_SECOND;
      used += nanoseconds * count;
      return new Float64Array(count).fill(nanoseconds);
    },
    processor: () => used,
  };
}

const node = `${process.versions.node}, OpenSSL ${process.versions.openssl}`;
const noble = versionOf('@noble/ciphers');
const shortKey = key.subarray(0, 16);
const one = (name, version, call, side = 'peer') => ({
  name,
  version,
  side,
  sample: timed(call),
  processor: ownProcessor,
});

try {
  await report(
    [
      one('sgxio, aes-128-gcm', versionOf(), sealWithSgxio, 'own'),
      opensslSpeed(),
      one('node:crypto, aes-128-gcm', node, () => sealWithNode('aes-128-gcm', keyObject)),
      one('node:crypto, chacha20-poly1305', node, () => sealWithNode('chacha20-poly1305', key)),
      one('sodium-native, chacha20-poly1305', versionOf('sodium-native'), sealWithSodium),
      one('@noble/ciphers, aes-128-gcm', noble, () => gcm(shortKey, nonce).encrypt(page)),
      one('@noble/ciphers, chacha20-poly1305', noble, () => chacha20poly1305(key, nonce).encrypt(page)),
    ].filter((alternative) => alternative !== undefined),
    { question: 'Sealing a page of 4 KiB', count: COUNT, warmUps: 1, rounds: 7 },
  );
} finally {
  cipher.close();
}
