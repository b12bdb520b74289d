import { randomFillSync } from 'node:crypto';
import { InvalidArgumentError } from '../../errors.ts';

/** How the keys of a map are written as bytes. */
export interface KeyCodec<Key> {
  encode(key: Key): Uint8Array<ArrayBuffer>;
  decode(bytes: Uint8Array<ArrayBuffer>): Key;
}

export interface MapKeys {
  number: number;
  string: string;
  bytes: Uint8Array<ArrayBuffer>;
}

const numberScratch = new Float64Array(1);
const numberBytes = new Uint8Array(numberScratch.buffer);
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

/** Equal numbers have equal bytes: there is one zero, and what is not a number is no key. */
export function canonicalNumber(key: number): number {
  if (typeof key !== 'number' || Number.isNaN(key)) {
    throw new InvalidArgumentError('NaN is not equal to itself and cannot be a key');
  }
  return key === 0 ? 0 : key;
}

export const KEY_CODECS: { readonly [K in keyof MapKeys]: KeyCodec<MapKeys[K]> } = {
  number: {
    encode(key) {
      numberScratch[0] = canonicalNumber(key);
      return numberBytes;
    },
    decode(bytes) {
      numberBytes.set(bytes);
      return numberScratch[0]!;
    },
  },
  string: { encode: (key) => textEncoder.encode(key), decode: (bytes) => textDecoder.decode(bytes) },
  bytes: { encode: (key) => key, decode: (bytes) => bytes },
};

const numberWords = new Int32Array(3);
const numberInWords = new Float64Array(1);
const bitsOfNumber = new Int32Array(numberInWords.buffer);
const FINAL_ROUNDS = 3;

/**
 * HalfSipHash-1-3 (Aumasson and Bernstein) under a secret of its own. Which pages a map touches can be seen from
 * outside; without the secret, nobody can tell what keys that means, nor choose keys that collide.
 */
export class KeyHash {
  readonly #first: number;
  readonly #second: number;
  #words = new Int32Array(16);

  constructor() {
    const secret = randomFillSync(new Int32Array(2));
    this.#first = secret[0]!;
    this.#second = secret[1]!;
  }

  /** An unsigned 32-bit number; never 0. */
  ofBytes(bytes: Uint8Array): number {
    const count = (bytes.length >> 2) + 1;
    if (count > this.#words.length) this.#words = new Int32Array(count * 2);
    const padded = new Uint8Array(this.#words.buffer, 0, count * 4);
    padded.set(bytes);
    padded.fill(0, bytes.length);
    padded[count * 4 - 1] = bytes.length;
    return this.#mix(this.#words, count);
  }

  /** As `ofBytes` of the number's eight bytes. */
  ofNumber(key: number): number {
    numberInWords[0] = key;
    numberWords[0] = bitsOfNumber[0]!;
    numberWords[1] = bitsOfNumber[1]!;
    numberWords[2] = 8 << 24;
    return this.#mix(numberWords, 3);
  }

  #mix(words: Int32Array, count: number): number {
    let v0 = this.#first;
    let v1 = this.#second;
    let v2 = this.#first ^ 0x6c796765;
    let v3 = this.#second ^ 0x74656462;
    for (let index = 0; index < count + FINAL_ROUNDS; index++) {
      const word = index < count ? words[index]! : 0;
      if (index === count) v2 ^= 0xff;
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    return (v1 ^ v3) >>> 0 || 1;
  }
}
