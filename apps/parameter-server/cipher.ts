import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';

/** Bytes of an AES-128 key. */
export const KEY_BYTES = 16;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;

/**
 * AES-128-GCM in place under one key. The nonce is the `NONCE_BYTES` bytes right before `offset`, the tag is
 * the `TAG_BYTES` bytes right after the `length` bytes at `offset`: a frame is sealed and opened where it lies.
 * Whoever seals sees to it that no nonce comes twice under one key.
 */
export interface Cipher {
  seal(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): void;
  /** Whether the tag is right. When it is not, the bytes at `offset` are worthless and must not be looked at. */
  open(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): boolean;
}

const ALGORITHM = 'aes-128-gcm';

/** The cipher over `node:crypto`, which makes a new context for each message. */
export class NodeCipher implements Cipher {
  readonly #key: KeyObject;

  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key);
  }

  seal(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
    const nonce = buffer.subarray(offset - NONCE_BYTES, offset);
    const context = createCipheriv(ALGORITHM, this.#key, nonce);
    buffer.set(context.update(buffer.subarray(offset, offset + length)), offset);
    context.final();
    buffer.set(context.getAuthTag(), offset + length);
  }

  open(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): boolean {
    const nonce = buffer.subarray(offset - NONCE_BYTES, offset);
    const context = createDecipheriv(ALGORITHM, this.#key, nonce, { authTagLength: TAG_BYTES });
    context.setAuthTag(buffer.subarray(offset + length, offset + length + TAG_BYTES));
    const opened = context.update(buffer.subarray(offset, offset + length));
    try {
      context.final();
    } catch {
      return false;
    }
    buffer.set(opened, offset);
    return true;
  }
}
