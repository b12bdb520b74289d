import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';

/**
 * X25519 keys from and to their 32 bytes (RFC 7748; the frames around them are those of RFC 8410).
 *
 * A private key is any 32 random bytes. `generateKeyPairSync` would do, but exporting what it made can hang for
 * ever in Node 20: the export holds a lock of the key, and if it makes the garbage collector run just then, the
 * collected job that made the key asks for the same lock.
 */
const PRIVATE_FRAME = Buffer.from('302e020100300506032b656e04220420', 'hex');
const PUBLIC_FRAME = Buffer.from('302a300506032b656e032100', 'hex');
const KEY_BYTES = 32;

export interface X25519Pair {
  readonly privateKey: KeyObject;
  readonly publicBytes: Uint8Array<ArrayBuffer>;
}

export function createX25519Pair(): X25519Pair {
  const key = Buffer.concat([PRIVATE_FRAME, randomBytes(KEY_BYTES)]);
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  const framed = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { privateKey, publicBytes: new Uint8Array(framed.subarray(PUBLIC_FRAME.length)) };
}

/** Reads a public key of 32 bytes; another length is an error. */
export function readX25519Key(bytes: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([PUBLIC_FRAME, bytes]), format: 'der', type: 'spki' });
}
