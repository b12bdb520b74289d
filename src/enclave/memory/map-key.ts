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

const bits = new Uint32Array(numberScratch.buffer);

/**
 * HalfSipHash-1-3 (Aumasson and Bernstein) under a secret of its own. Which pages a map touches can be seen from
 * outside; without the secret, nobody can tell what keys that means, nor choose keys that collide.
 */
export class KeyHash {
  readonly #first: number;
  readonly #second: number;
  #v0 = 0;
  #v1 = 0;
  #v2 = 0;
  #v3 = 0;

  constructor() {
    const secret = randomFillSync(new Int32Array(2));
    this.#first = secret[0]!;
    this.#second = secret[1]!;
  }

  /** An unsigned 32-bit number; never 0. */
  ofBytes(bytes: Uint8Array): number {
    this.#begin();
    const whole = bytes.length & ~3;
    for (let at = 0; at < whole; at += 4) {
      this.#word(bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    }
    let last = bytes.length << 24;
    for (let at = whole; at < bytes.length; at++) last |= bytes[at]! << (8 * (at - whole));
    return this.#end(last);
  }

  /** As `ofBytes` of the number's eight bytes. */
  ofNumber(key: number): number {
    numberScratch[0] = key;
    this.#begin();
    this.#word(bits[0]! | 0);
    this.#word(bits[1]! | 0);
    return this.#end(8 << 24);
  }

  #begin(): void {
    this.#v0 = this.#first;
    this.#v1 = this.#second;
    this.#v2 = this.#first ^ 0x6c796765;
    this.#v3 = this.#second ^ 0x74656462;
  }

  #word(word: number): void {
    this.#v3 ^= word;
    this.#round();
    this.#v0 ^= word;
  }

  #end(last: number): number {
    this.#word(last);
    this.#v2 ^= 0xff;
    this.#round();
    this.#round();
    this.#round();
    return (this.#v1 ^ this.#v3) >>> 0 || 1;
  }

  #round(): void {
    let v0 = (this.#v0 + this.#v1) | 0;
    let v1 = ((this.#v1 << 5) | (this.#v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    let v2 = (this.#v2 + this.#v3) | 0;
    let v3 = ((this.#v3 << 8) | (this.#v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = (v2 << 16) | (v2 >>> 16);
    this.#v3 = v3;
  }
}
