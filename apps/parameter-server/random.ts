import { finalMix } from './checksum.ts';

const GOLDEN_RATIO = 0x9e37_79b9;
const TWO_TO_32 = 2 ** 32;

/**
 * A deterministic source of random words: xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom
 * number generators", 2021). For workloads that must come out the same each time; never for a secret.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Streams of one seed do not depend on each other. Both are 32-bit integers. */
  constructor(seed: number, stream: number) {
    const start = finalMix(seed) ^ finalMix(stream + GOLDEN_RATIO);
    this.#a = finalMix(start + GOLDEN_RATIO);
    this.#b = finalMix(start + 2 * GOLDEN_RATIO);
    this.#c = finalMix(start + 3 * GOLDEN_RATIO);
    this.#d = finalMix(start + 4 * GOLDEN_RATIO) | 1;
  }

  /** The next unsigned 32-bit integer. */
  next(): number {
    const result = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return result;
  }

  /** An integer from 0 to `bound` - 1; `bound` is at most 2^32. */
  below(bound: number): number {
    return Math.floor((this.next() / TWO_TO_32) * bound);
  }
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}
