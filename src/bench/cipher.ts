import { addressOf } from '../linux/ffi.ts';
import { type AesGcm, createAesGcm } from '../linux/openssl.ts';

const KEY = 0;
const NONCE = 64;
const TAG = 128;
const CLEAR = 4096;

/** AES-256-GCM alone, over bytes that stay in the processor's cache: what no encrypted file can be faster than. */
export class CipherAlone {
  readonly #cipher: AesGcm;
  readonly #sealed: number;

  /** For pieces of up to so many bytes. */
  constructor(pieceMax: number) {
    this.#sealed = CLEAR + pieceMax;
    const buffer = new ArrayBuffer(CLEAR + 2 * pieceMax);
    this.#cipher = createAesGcm({ address: addressOf(new Uint8Array(buffer)), buffer }, 32);
    this.#cipher.setKey(KEY);
  }

  /** Seals so many bytes piece by piece, each with a tag of its own; milliseconds. */
  seal(bytes: number, piece: number): number {
    const started = performance.now();
    for (let done = 0; done < bytes; done += piece) this.#cipher.seal(NONCE, CLEAR, piece, this.#sealed, TAG);
    return performance.now() - started;
  }

  /** Opens as many as {@link seal} seals; milliseconds. */
  open(bytes: number, piece: number): number {
    this.#cipher.seal(NONCE, CLEAR, piece, this.#sealed, TAG);
    const started = performance.now();
    for (let done = 0; done < bytes; done += piece) {
      if (!this.#cipher.open(NONCE, this.#sealed, piece, CLEAR, TAG)) throw new Error('it does not open');
    }
    return performance.now() - started;
  }

  [Symbol.dispose](): void {
    this.#cipher.close();
  }
}
