import { addressOf } from './ffi.ts';
import type { MappedMemory } from './openssl.ts';

/**
 * Where private buffers lie. Asking costs as much as a copy, and programs use the same few buffers again and
 * again, so the last two are remembered.
 */
let firstBuffer: ArrayBuffer | undefined;
let firstAddress = 0;
let secondBuffer: ArrayBuffer | undefined;
let secondAddress = 0;

/** The address of the first byte of `view`. Views of up to 64 bytes are moved off V8's heap by asking for `buffer`. */
export function privateAddress(view: Uint8Array<ArrayBuffer>): number {
  const buffer = view.buffer;
  if (buffer === firstBuffer) return firstAddress + view.byteOffset;
  if (buffer !== secondBuffer) {
    secondAddress = addressOf(new Uint8Array(buffer));
    secondBuffer = buffer;
  }
  const address = secondAddress;
  secondBuffer = firstBuffer;
  secondAddress = firstAddress;
  firstBuffer = buffer;
  firstAddress = address;
  return address + view.byteOffset;
}

/** The whole memory that `view` lies in. It is not remembered, and so not kept. */
export function memoryOf(view: Uint8Array<ArrayBuffer>): MappedMemory {
  return { address: addressOf(new Uint8Array(view.buffer)), buffer: view.buffer };
}
