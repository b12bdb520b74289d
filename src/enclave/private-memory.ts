import { SgxioError } from '../errors.ts';
import { PAGE_BYTES } from '../limits.ts';

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
