import { buffers } from '../enclave.ts';

/** What the suite of copies runs inside. */

export function createSealed(bytes: number, key: Uint8Array<ArrayBuffer>): number {
  return buffers.create({ bytes, host: 'read-write', key });
}

let sum = 0;

/** Reads every 32-bit word of a buffer that many times: the work of one batch. */
export function compute(handle: number, rounds: number): number {
  return buffers.use(handle, (bytes) => {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    for (let round = 0; round < rounds; round++) {
      for (let index = 0; index < words.length; index++) sum = (sum + words[index]!) | 0;
    }
    return sum;
  });
}
