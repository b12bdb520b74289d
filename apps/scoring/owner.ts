import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { TransferSealer } from '../../src/index.ts';
import { bufferKeys } from './keys.ts';

/**
 * The owner of the data, who may sit anywhere: seals what goes in and opens what comes out. That it is the program
 * it trusts which holds the other key, it must learn from an attestation; this example takes the host's word.
 */
export class Owner {
  readonly #privateKey: KeyObject;
  readonly publicKey: Uint8Array;
  #inputs: readonly TransferSealer[] = [];
  #outputs: readonly TransferSealer[] = [];

  constructor() {
    const pair = generateKeyPairSync('x25519');
    this.#privateKey = pair.privateKey;
    this.publicKey = new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' }));
  }

  agree(enclaveKey: Uint8Array): void {
    const publicKey = createPublicKey({ key: Buffer.from(enclaveKey), format: 'der', type: 'spki' });
    const keys = bufferKeys(diffieHellman({ privateKey: this.#privateKey, publicKey }));
    this.#inputs = keys.inputs.map((key) => new TransferSealer(key));
    this.#outputs = keys.outputs.map((key) => new TransferSealer(key));
  }

  seal(slot: number, rows: Float64Array): Uint8Array {
    return this.#inputs[slot]!.seal(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
  }

  open(slot: number, sealed: Uint8Array): Uint8Array {
    return this.#outputs[slot]!.open(sealed);
  }
}
