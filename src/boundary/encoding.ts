import { EncodingError } from '../errors.ts';
import { ENCODING_DEPTH_MAX } from '../limits.ts';

/**
 * How values cross the boundary: CBOR (RFC 8949), one encoding for each value, typed arrays as in RFC 8746.
 *
 * - A number that is a safe integer is an integer, every other (and -0) is a 64-bit float, NaN has one form.
 * - A bigint is a bignum of any value, so that it stays a bigint.
 * - A `Uint8Array` is a byte string; other typed arrays are tagged, little-endian.
 * - Objects are maps with text keys, in their own order. Keys that reach prototypes are refused.
 *
 * Nothing is lost in silence: what does not come back as it was is refused. What comes from the other side is taken
 * apart by cborg; which of its tokens make a value, and how deep and how many, is decided in decoder.ts. Writing
 * needs no more than the heads of items, and every launch pays for it: encoder.ts does it itself.
 */
export type Value =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | TypedArray
  | readonly Value[]
  | { readonly [key: string]: Value };

export type TypedArray =
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

type TypedArrayConstructor = new (buffer: ArrayBuffer) => TypedArray;

/** RFC 8746, table 1. `Uint8Array` needs no tag: it is what a byte string is. */
const TYPED_ARRAYS: ReadonlyArray<
  readonly [tag: number, TypedArrayConstructor & { BYTES_PER_ELEMENT: number }]
> = [
  [68, Uint8ClampedArray],
  [69, Uint16Array],
  [70, Uint32Array],
  [71, BigUint64Array],
  [72, Int8Array],
  [77, Int16Array],
  [78, Int32Array],
  [79, BigInt64Array],
  [85, Float32Array],
  [86, Float64Array],
];
export const TYPED_ARRAY_BY_TAG: ReadonlyMap<number, TypedArrayConstructor & { BYTES_PER_ELEMENT: number }> =
  new Map(TYPED_ARRAYS);
export const TAG_BY_NAME: ReadonlyMap<string, number> = new Map(
  TYPED_ARRAYS.map(([tag, { name }]) => [name, tag]),
);
export const BIGNUM_TAG = 2;
export const NEGATIVE_BIGNUM_TAG = 3;

export const FLOAT_BYTES = 9;
export const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
export const KEY_SHOWN_CHARACTERS = 32;
/** Text up to here is quicker to go through than to hand over to Node. */
export const SHORT_TEXT_BYTES = 31;

/** Where in a value the work is, to be written out only when it fails. */
export class Path {
  readonly #name: string;
  readonly #keys: (string | number)[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  get depth(): number {
    return this.#keys.length;
  }

  enter(key: string | number): void {
    this.#keys.push(key);
  }

  leave(): void {
    this.#keys.pop();
  }

  error(message: string, cause?: unknown): EncodingError {
    return new EncodingError(`${this.#name}${this.#keys.map(describeKey).join('')}: ${message}`, { cause });
  }
}

export function isInteger(value: number | bigint): value is number {
  return Number.isSafeInteger(value) && !Object.is(value, -0);
}

function describeKey(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`;
  if (key.length > KEY_SHOWN_CHARACTERS) return `[${JSON.stringify(key.slice(0, KEY_SHOWN_CHARACTERS))}…]`;
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

export function describeSize(maximumBytes: number): string {
  return `the value takes more than ${maximumBytes} bytes: pass less, or copy bulk data`;
}

export function describeDepth(): string {
  return `arrays and objects nest deeper than ${ENCODING_DEPTH_MAX} levels`;
}

export function describeForbiddenKey(key: string): string {
  return `the key "${key}" cannot cross the boundary`;
}
