import { diffieHellman, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto';
import { KEY_BYTES } from './cipher.ts';
import { ProtocolError } from './protocol.ts';
import { createX25519Pair, readX25519Key } from './x25519.ts';

/**
 * The key of a connection: X25519 with a fresh key pair on each side, then HKDF-SHA256 over the shared secret,
 * a pre-shared verification value and both public keys. Each connection has a key of its own, and what was
 * recorded stays closed when the verification value leaks later.
 *
 *     client → server   magic (8), public key (32)
 *     server → client   public key (32), confirmation (16)
 *
 * This is key agreement *without attestation*: whoever knows the verification value can be either side. It
 * says nothing about which program runs on the other side, nor whether that is in an enclave.
 */

const MAGIC: Uint8Array<ArrayBuffer> = new TextEncoder().encode('sgxiops1');
const PUBLIC_KEY_BYTES = 32;
const CONFIRMATION_BYTES = 16;
const LABEL: Uint8Array<ArrayBuffer> = new TextEncoder().encode('sgxio parameter server: key agreement 1');

/** Bytes of the verification value: secret, random, handed to both sides by other means. */
export const VERIFICATION_BYTES = 32;
export const CLIENT_HELLO_BYTES: number = MAGIC.length + PUBLIC_KEY_BYTES;
export const SERVER_HELLO_BYTES: number = PUBLIC_KEY_BYTES + CONFIRMATION_BYTES;

/** The client's side: send `hello`, then give what the server answered to `finish`. */
export class ClientAgreement {
  readonly hello: Uint8Array<ArrayBuffer>;
  readonly #privateKey: KeyObject;

  constructor() {
    const { privateKey, publicBytes } = createX25519Pair();
    this.#privateKey = privateKey;
    this.hello = concatenate(MAGIC, publicBytes);
  }

  /** Returns the key of the connection. Fails when the server has another verification value. */
  finish(serverHello: Uint8Array, verification: Uint8Array): Uint8Array<ArrayBuffer> {
    const clientKey = this.hello.subarray(MAGIC.length);
    const serverKey = serverHello.slice(0, PUBLIC_KEY_BYTES);
    const derived = derive(this.#privateKey, serverKey, verification, clientKey, serverKey);
    if (!equal(derived.confirmation, serverHello.subarray(PUBLIC_KEY_BYTES))) {
      throw new ProtocolError('KEY_REJECTED', 'the server does not have the same verification value');
    }
    return derived.key;
  }
}

/** The server's side: what to answer to a client's hello, and the key of the connection. */
export function answerHello(
  clientHello: Uint8Array,
  verification: Uint8Array,
): { hello: Uint8Array<ArrayBuffer>; key: Uint8Array<ArrayBuffer> } {
  if (clientHello.length !== CLIENT_HELLO_BYTES || !equal(MAGIC, clientHello.subarray(0, MAGIC.length))) {
    throw new ProtocolError('HELLO_INVALID', 'the peer does not speak this protocol');
  }
  const clientKey = clientHello.slice(MAGIC.length);
  const { privateKey, publicBytes: serverKey } = createX25519Pair();
  const { key, confirmation } = derive(privateKey, clientKey, verification, clientKey, serverKey);
  return { hello: concatenate(serverKey, confirmation), key };
}

function derive(
  privateKey: KeyObject,
  peerKey: Uint8Array,
  verification: Uint8Array,
  clientKey: Uint8Array,
  serverKey: Uint8Array,
): { key: Uint8Array<ArrayBuffer>; confirmation: Uint8Array<ArrayBuffer> } {
  if (verification.length !== VERIFICATION_BYTES) {
    throw new RangeError(`the verification value has ${VERIFICATION_BYTES} bytes`);
  }
  const secret = concatenate(agree(privateKey, peerKey), verification);
  const info = concatenate(LABEL, clientKey, serverKey);
  const derived = hkdfSync('sha256', secret, new Uint8Array(0), info, KEY_BYTES + CONFIRMATION_BYTES);
  return {
    key: new Uint8Array(derived.slice(0, KEY_BYTES)),
    confirmation: new Uint8Array(derived.slice(KEY_BYTES)),
  };
}

function agree(privateKey: KeyObject, peerKey: Uint8Array): Uint8Array {
  try {
    return diffieHellman({ privateKey, publicKey: readX25519Key(peerKey) });
  } catch (cause) {
    throw new ProtocolError('HELLO_INVALID', 'the public key of the peer is not acceptable', { cause });
  }
}

function concatenate(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts));
}

/** In constant time: a confirmation is a secret until it matches. */
function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
