import { Checksum, finalMix } from './checksum.ts';

/**
 * The client's own account of the model: what every value must be when each update was applied exactly once.
 * It shares no code with the server's tables: keys are numbered, and values lie in plain arrays by that number.
 */
export class Account {
  /** Keys of the model: 0 to `keys` - 1. */
  readonly keys: number;
  readonly #low: Uint32Array<ArrayBuffer>;
  readonly #high: Uint32Array<ArrayBuffer>;
  readonly #isUpdated: Uint8Array<ArrayBuffer>;

  constructor(keys: number) {
    this.keys = keys;
    this.#low = new Uint32Array(keys);
    this.#high = new Uint32Array(keys);
    this.#isUpdated = new Uint8Array(keys);
  }

  add(key: number, deltaLow: number, deltaHigh: number): void {
    const low = this.#low[key]! + deltaLow;
    this.#low[key] = low;
    this.#high[key] = this.#high[key]! + deltaHigh + (low > 0xffff_ffff ? 1 : 0);
    this.#isUpdated[key] = 1;
  }

  checksum(): Checksum {
    const checksum = new Checksum();
    for (let key = 0; key < this.keys; key += 1) {
      if (this.#isUpdated[key] === 1) checksum.add(key, keyHigh(key), this.#low[key]!, this.#high[key]!);
    }
    return checksum;
  }
}

/** The high word of the 64-bit key with a number; its low word is the number. Key 0 is zero as a whole. */
export function keyHigh(key: number): number {
  return finalMix(key);
}
