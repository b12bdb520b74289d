import { createCipheriv, createDecipheriv } from 'node:crypto';
import { InvalidArgumentError, SgxioError } from '../errors.ts';
import { SEALED_BLOCK_BYTES, TAG_BYTES } from '../limits.ts';

/**
 * How bytes are sealed on their way into a private buffer and out of it: AES-256-GCM in blocks, each with a header
 * (little-endian words: sequence, block of the buffer, 1 for the last of its transfer, bytes), the ciphertext,
 * and the tag. The nonce is made of direction and header, so that a block opens in its place, in its turn and
 * never twice; that a transfer was cut short shows in its last block (STREAM: Hoang, Reyhanitabar, Rogaway and
 * Vizár, CRYPTO 2015).
 *
 * A key serves one buffer: sequences count its blocks, each direction for itself.
 */
export const SEALED_HEADER_BYTES = 16;
export const SEALED_OVERHEAD_BYTES: number = SEALED_HEADER_BYTES + TAG_BYTES;
export const TransferDirection = { in: 1, out: 2 } as const;
export const SEQUENCE_MAX = 0x7fff_ffff;
const NONCE_BYTES = 12;
const KEY_BYTES = 32;

/** The nonce of a block, into 12 bytes at `offset`. */
export function writeNonce(
  target: Uint8Array,
  offset: number,
  direction: number,
  sequence: number,
  block: number,
  last: number,
): void {
  const view = new DataView(target.buffer, target.byteOffset + offset, NONCE_BYTES);
  view.setUint32(0, direction | (last << 8), true);
  view.setUint32(4, sequence, true);
  view.setUint32(8, block, true);
}

/** Bytes that so many bytes take when they are sealed. */
export function sealedLength(bytes: number): number {
  return bytes + Math.max(1, Math.ceil(bytes / SEALED_BLOCK_BYTES)) * SEALED_OVERHEAD_BYTES;
}

/**
 * The other end of a private buffer that has a key: with the owner of the data, wherever that is. The host carries
 * what it seals and opens.
 */
export class TransferSealer {
  readonly #key: Uint8Array;
  #sealed = 0;
  #opened = 0;

  /** `key`: 32 bytes that the program inside has for this buffer, and nobody else. */
  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES) throw new InvalidArgumentError(`a key has ${KEY_BYTES} bytes`);
    this.#key = Uint8Array.from(key);
  }

  /** Seals bytes for the buffer from `bufferOffset`, a multiple of SEALED_BLOCK_BYTES. They are to be copied in this order. */
  seal(bytes: Uint8Array, bufferOffset = 0): Uint8Array<ArrayBuffer> {
    if (bufferOffset % SEALED_BLOCK_BYTES !== 0)
      throw new InvalidArgumentError(`an offset in a sealed buffer is a multiple of ${SEALED_BLOCK_BYTES}`);
    const sealed = new Uint8Array(sealedLength(bytes.length));
    const nonce = new Uint8Array(NONCE_BYTES);
    let at = 0;
    for (let start = 0; start === 0 || start < bytes.length; start += SEALED_BLOCK_BYTES) {
      const plain = bytes.subarray(start, start + SEALED_BLOCK_BYTES);
      const last = start + SEALED_BLOCK_BYTES >= bytes.length ? 1 : 0;
      const block = (bufferOffset + start) / SEALED_BLOCK_BYTES;
      const header = new DataView(sealed.buffer, at, SEALED_HEADER_BYTES);
      for (const [index, word] of [++this.#sealed, block, last, plain.length].entries())
        header.setUint32(index * 4, word, true);
      writeNonce(nonce, 0, TransferDirection.in, this.#sealed, block, last);
      const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
      sealed.set(cipher.update(plain), at + SEALED_HEADER_BYTES);
      cipher.final();
      sealed.set(cipher.getAuthTag(), at + SEALED_HEADER_BYTES + plain.length);
      at += plain.length + SEALED_OVERHEAD_BYTES;
    }
    return sealed;
  }

  /** Opens what was copied out of the buffer, whole and once; anything else is refused. */
  open(sealed: Uint8Array, bufferOffset = 0): Uint8Array<ArrayBuffer> {
    const parts: Uint8Array[] = [];
    const nonce = new Uint8Array(NONCE_BYTES);
    let expected = bufferOffset / SEALED_BLOCK_BYTES;
    let opened = this.#opened;
    let isLast = 0;
    for (let at = 0; at < sealed.length; expected++) {
      if (sealed.length - at < SEALED_OVERHEAD_BYTES || isLast !== 0) throw tampered();
      const header = new DataView(sealed.buffer, sealed.byteOffset + at, SEALED_HEADER_BYTES);
      const [sequence, block, last, bytes] = [0, 4, 8, 12].map((offset) =>
        header.getUint32(offset, true),
      ) as [number, number, number, number];
      if (sequence <= opened || block !== expected || bytes > sealed.length - at - SEALED_OVERHEAD_BYTES)
        throw tampered();
      writeNonce(nonce, 0, TransferDirection.out, sequence, block, last);
      parts.push(this.#openBlock(nonce, sealed.subarray(at + SEALED_HEADER_BYTES), bytes));
      opened = sequence;
      isLast = last;
      at += bytes + SEALED_OVERHEAD_BYTES;
    }
    if (isLast !== 1) throw tampered();
    this.#opened = opened;
    return new Uint8Array(Buffer.concat(parts));
  }

  #openBlock(nonce: Uint8Array, sealed: Uint8Array, bytes: number): Uint8Array {
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce);
    decipher.setAuthTag(sealed.subarray(bytes, bytes + TAG_BYTES));
    const plain = decipher.update(sealed.subarray(0, bytes));
    try {
      decipher.final();
    } catch {
      throw tampered();
    }
    return plain;
  }
}

function tampered(): SgxioError {
  return new SgxioError(
    'SGXIO_COPY_TAMPERED',
    'a sealed copy was changed, cut, moved or repeated on its way',
  );
}
