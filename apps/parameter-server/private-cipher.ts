import { type AesGcm, createPrivateCipher, type PrivateRegion } from '../../src/enclave.ts';
import { type Cipher, KEY_BYTES, NONCE_BYTES } from './cipher.ts';

/** The cipher of a server in an enclave: key and messages lie in private memory, and no message allocates. */
export class PrivateCipher implements Cipher {
  readonly #cipher: AesGcm;

  /** `key` is the first `KEY_BYTES` bytes of `region`. The buffers that are sealed must lie in private memory. */
  constructor(region: PrivateRegion, key: Uint8Array) {
    region.bytes.set(key.subarray(0, KEY_BYTES));
    this.#cipher = createPrivateCipher(region.bytes.subarray(0, KEY_BYTES));
  }

  seal(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
    const at = buffer.byteOffset + offset;
    this.#cipher.seal(at - NONCE_BYTES, at, length, at, at + length);
  }

  open(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): boolean {
    const at = buffer.byteOffset + offset;
    return this.#cipher.open(at - NONCE_BYTES, at, length, at, at + length);
  }

  close(): void {
    this.#cipher.close();
  }
}
