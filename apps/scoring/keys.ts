import { hkdfSync } from 'node:crypto';
import { SLOTS } from './shape.ts';

const KEY_BYTES = 32;

/** A key for each buffer, from the secret that the owner of the data and the enclave share. */
export function bufferKeys(secret: Uint8Array): {
  inputs: Uint8Array<ArrayBuffer>[];
  outputs: Uint8Array<ArrayBuffer>[];
} {
  const derive = (name: string): Uint8Array<ArrayBuffer> =>
    new Uint8Array(hkdfSync('sha256', secret, '', `scoring ${name}`, KEY_BYTES));
  const keys = (name: string) => Array.from({ length: SLOTS }, (_, slot) => derive(`${name} ${slot}`));
  return { inputs: keys('input'), outputs: keys('output') };
}
