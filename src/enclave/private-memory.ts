import { InvalidArgumentError, SgxioError } from '../errors.ts';
import { PAGE_BYTES } from '../limits.ts';
import { type AesGcm, createAesGcm } from '../linux/openssl.ts';

export type { AesGcm };

/** A piece of this enclave's private memory: bytes that no other process can read, root's included. */
export interface PrivateRegion {
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

let buffer = new ArrayBuffer(0);
let base = 0;
let used = 0;

/** Sets the mapping that regions are taken from; once, before the program is loaded. */
export function setPrivateMemory(memory: { readonly address: number; readonly buffer: ArrayBuffer }): void {
  buffer = memory.buffer;
  base = memory.address;
}

/**
 * Takes `bytes` of private memory, for good: tables, keys and caches are made once, when a program starts. Fails
 * with SGXIO_MEMORY_EXHAUSTED when less is left of what the image asked for. Whole pages are taken.
 */
export function takePrivateMemory(bytes: number): PrivateRegion {
  const rounded = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
  const left = buffer.byteLength - used;
  if (!(bytes > 0) || rounded > left) {
    throw new SgxioError(
      'SGXIO_MEMORY_EXHAUSTED',
      `${left} bytes of private memory are left, too few for ${bytes}: ask for more with privateMemoryBytes in the image`,
    );
  }
  const region = { address: base + used, bytes: new Uint8Array(buffer, used, rounded) };
  used += rounded;
  return region;
}

/**
 * AES-GCM with a key that lies in private memory, over all of this enclave's private memory: operands are
 * offsets from its start, which is where `region.bytes.byteOffset` counts from. The key has 16 or 32 bytes.
 */
export function createPrivateCipher(key: Uint8Array<ArrayBuffer>): AesGcm {
  if (key.buffer !== buffer || (key.length !== 16 && key.length !== 32)) {
    throw new InvalidArgumentError(
      'a private cipher needs a key of 16 or 32 bytes that lies in private memory',
    );
  }
  const cipher = createAesGcm({ address: base, buffer }, key.length);
  cipher.setKey(key.byteOffset);
  return cipher;
}
