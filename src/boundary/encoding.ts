import { types } from 'node:util';
import { type Token, Tokenizer, Type } from 'cborg';
import { EncodingError } from '../errors.ts';
import { ENCODING_BIGINT_MAX, ENCODING_DEPTH_MAX } from '../limits.ts';

/**
 * How values cross the boundary: CBOR (RFC 8949), one encoding for each value, typed arrays as in RFC 8746.
 *
 * - A number that is a safe integer is an integer, every other (and -0) is a 64-bit float, NaN has one form.
 * - A bigint is a bignum of any value, so that it stays a bigint.
 * - A `Uint8Array` is a byte string; other typed arrays are tagged, little-endian.
 * - Objects are maps with text keys, in their own order. Keys that reach prototypes are refused.
 *
 * Nothing is lost in silence: what does not come back as it was is refused. What comes from the other side is taken
 * apart by cborg; which of its tokens make a value, and how deep and how many, is decided here. Writing needs no
 * more than the heads of items, and every launch pays for it, so it is done here.
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
const TYPED_ARRAY_BY_TAG = new Map(TYPED_ARRAYS);
const TAG_BY_NAME: ReadonlyMap<string, number> = new Map(TYPED_ARRAYS.map(([tag, { name }]) => [name, tag]));
const BIGNUM_TAG = 2;
const NEGATIVE_BIGNUM_TAG = 3;
/** Major types of RFC 8949, 3.1, as the high bits of an item's first byte. */
const Major = {
  unsigned: 0x00,
  negative: 0x20,
  bytes: 0x40,
  text: 0x60,
  array: 0x80,
  map: 0xa0,
  tag: 0xc0,
} as const;
const SimpleByte = { false: 0xf4, true: 0xf5, null: 0xf6, undefined: 0xf7, float: 0xfb } as const;
const FLOAT_BYTES = 9;
const NAN_HIGH_WORD = 0x7ff8_0000;
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const KEY_SHOWN_CHARACTERS = 32;
/** Text up to here is quicker to go through than to hand over to Node. */
const SHORT_TEXT_BYTES = 31;

/**
 * Encodes a value into at most `maximumBytes`. `name` is what the value is called in errors:
 * `arguments[1].user.name: a function cannot cross the boundary`.
 */
export function encode(value: unknown, name: string, maximumBytes: number): Uint8Array<ArrayBuffer> {
  const room = spare !== undefined && spare.bytes.length >= maximumBytes ? spare : createRoom(maximumBytes);
  spare = undefined;
  const encoder = new Encoder(name, maximumBytes, room);
  encoder.take(value);
  spare = room;
  return encoder.encoded();
}

/** Decodes what `encode` made. All else is an `EncodingError`, in time that grows with the bytes alone. */
export function decode(bytes: Uint8Array<ArrayBuffer>, name: string, maximumBytes: number): Value {
  if (bytes.length > maximumBytes) throw new EncodingError(`${name}: ${describeSize(maximumBytes)}`);
  // What a `Buffer` calls a slice is no copy.
  const plain = Buffer.isBuffer(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : bytes;
  return new Decoder(plain, name).decode();
}

/** Where in a value the work is, to be written out only when it fails. */
class Path {
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

/** Where an encoder writes. */
interface Room {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly text: Buffer;
}

function createRoom(bytes: number): Room {
  const buffer = new ArrayBuffer(bytes);
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer), text: Buffer.from(buffer) };
}

/** For the next encoder; there is none while one is at work, as a getter of its value may encode another. */
let spare: Room | undefined;

/** Writes a value and counts its bytes, so that a value that is too large stops early. */
class Encoder {
  readonly #path: Path;
  readonly #maximumBytes: number;
  readonly #room: Room;
  readonly #ancestors: object[] = [];
  #bytes = 0;

  constructor(name: string, maximumBytes: number, room: Room) {
    this.#path = new Path(name);
    this.#maximumBytes = maximumBytes;
    this.#room = room;
  }

  encoded(): Uint8Array<ArrayBuffer> {
    return this.#room.bytes.slice(0, this.#bytes);
  }

  take(value: unknown): void {
    if (value === undefined) this.#writeByte(SimpleByte.undefined);
    else if (value === null) this.#writeByte(SimpleByte.null);
    else if (typeof value === 'boolean') this.#writeByte(value ? SimpleByte.true : SimpleByte.false);
    else if (typeof value === 'number') this.#takeNumber(value);
    else if (typeof value === 'bigint') this.#takeBigint(value);
    else if (typeof value === 'string') this.#takeString(value);
    else if (ArrayBuffer.isView(value)) this.#takeView(value);
    else if (typeof value === 'object') this.#takeObject(value);
    else throw this.#path.error(`a ${typeof value} cannot cross the boundary`);
  }

  #takeNumber(value: number): void {
    if (!isInteger(value)) this.#writeFloat(value);
    else if (value >= 0) this.#writeHead(Major.unsigned, value);
    else this.#writeHead(Major.negative, -1 - value);
  }

  #writeFloat(value: number): void {
    const at = this.#claim(FLOAT_BYTES);
    this.#room.bytes[at] = SimpleByte.float;
    this.#room.view.setFloat64(at + 1, Number.isNaN(value) ? Number.NaN : value);
  }

  #takeBigint(value: bigint): void {
    const magnitude = value < 0n ? -1n - value : value;
    const digits = magnitude === 0n ? '' : magnitude.toString(16);
    const bytes = new Uint8Array(
      Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex'),
    );
    if (bytes.length > ENCODING_BIGINT_MAX) {
      throw this.#path.error(`a bigint of more than ${ENCODING_BIGINT_MAX} bytes cannot cross the boundary`);
    }
    this.#writeHead(Major.tag, value < 0n ? NEGATIVE_BIGNUM_TAG : BIGNUM_TAG);
    this.#writeBytes(bytes);
  }

  #takeString(value: string): void {
    if (value.length <= SHORT_TEXT_BYTES && this.#takeAscii(value)) return;
    if (!value.isWellFormed()) throw this.#path.error('a string with half a surrogate pair has no encoding');
    const length = Buffer.byteLength(value);
    this.#writeHead(Major.text, length);
    const at = this.#claim(length);
    this.#room.text.write(value, at);
  }

  /** Most keys and names, quicker than Node's encoders; false when it was not ASCII, and nothing is written. */
  #takeAscii(text: string): boolean {
    const { length } = text;
    const start = this.#bytes;
    this.#writeHead(Major.text, length);
    const at = this.#claim(length);
    const { bytes } = this.#room;
    for (let index = 0; index < length; index++) {
      const character = text.charCodeAt(index);
      if (character > 0x7f) {
        this.#bytes = start;
        return false;
      }
      bytes[at + index] = character;
    }
    return true;
  }

  #takeObject(value: object): void {
    const isArray = Array.isArray(value);
    if (isArray ? countPrototypes(value) !== 2 : countPrototypes(value) > 1) {
      throw this.#path.error(
        `an instance of ${describeClass(value)} cannot cross the boundary: pass plain data`,
      );
    }
    if (this.#ancestors.includes(value)) {
      throw this.#path.error('an object that contains itself has no encoding');
    }
    if (this.#path.depth >= ENCODING_DEPTH_MAX) throw this.#path.error(describeDepth());
    this.#ancestors.push(value);
    if (isArray) this.#takeArray(value);
    else this.#takeRecord(value as Readonly<Record<string, unknown>>);
    this.#ancestors.pop();
  }

  #takeArray(array: readonly unknown[]): void {
    const { length } = array;
    this.#writeHead(Major.array, length);
    this.#checkRoom(length);
    for (let index = 0; index < length; index += 1) {
      this.#path.enter(index);
      if (!Object.hasOwn(array, index)) {
        throw this.#path.error('a hole in an array has no encoding: use undefined');
      }
      this.take(array[index]);
      this.#path.leave();
    }
  }

  #takeRecord(record: Readonly<Record<string, unknown>>): void {
    if (Object.getOwnPropertySymbols(record).length > 0) {
      throw this.#path.error('a key that is a symbol cannot cross the boundary');
    }
    const keys = Object.keys(record);
    this.#writeHead(Major.map, keys.length);
    for (const key of keys) {
      this.#path.enter(key);
      if (FORBIDDEN_KEYS.has(key)) throw this.#path.error(describeForbiddenKey(key));
      this.#takeString(key);
      this.take(record[key]);
      this.#path.leave();
    }
  }

  #takeView(view: ArrayBufferView): void {
    const name = typedArrayName(view);
    const tag = TAG_BY_NAME.get(name);
    if (tag === undefined && name !== 'Uint8Array') {
      throw this.#path.error(`a ${name} cannot cross the boundary`);
    }
    if (types.isSharedArrayBuffer(view.buffer)) {
      throw this.#path.error(`a ${name} over shared memory cannot cross the boundary: pass a copy`);
    }
    if (tag !== undefined) this.#writeHead(Major.tag, tag);
    this.#writeBytes(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  }

  #writeBytes(bytes: Uint8Array): void {
    this.#writeHead(Major.bytes, bytes.length);
    const at = this.#claim(bytes.length);
    this.#room.bytes.set(bytes, at);
  }

  /** The head of an item, in its shortest form. */
  #writeHead(major: number, argument: number): void {
    const length = headBytes(argument);
    const at = this.#claim(length);
    const { bytes, view } = this.#room;
    if (length === 1) {
      bytes[at] = major | argument;
      return;
    }
    bytes[at] = major | (24 + Math.log2(length - 1));
    if (length === 2) bytes[at + 1] = argument;
    else if (length === 3) view.setUint16(at + 1, argument);
    else if (length === 5) view.setUint32(at + 1, argument);
    else view.setBigUint64(at + 1, BigInt(argument));
  }

  #writeByte(byte: number): void {
    const at = this.#claim(1);
    this.#room.bytes[at] = byte;
  }

  /** Where the next so many bytes go. */
  #claim(bytes: number): number {
    this.#checkRoom(bytes);
    const at = this.#bytes;
    this.#bytes += bytes;
    return at;
  }

  #checkRoom(bytes: number): void {
    if (this.#bytes + bytes > this.#maximumBytes) throw this.#path.error(describeSize(this.#maximumBytes));
  }
}

const TOKENIZER_OPTIONS = {
  strict: true,
  allowIndefinite: false,
  allowBigInt: true,
  allowUndefined: true,
  retainStringBytes: true,
} as const;
/** Text is decoded here, because cborg replaces what is no UTF-8 and drops a byte order mark. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Builds a value from tokens. Every count is checked against the bytes that are left before it is used. */
class Decoder {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #path: Path;
  readonly #tokenizer: Tokenizer;

  constructor(bytes: Uint8Array<ArrayBuffer>, name: string) {
    this.#bytes = bytes;
    this.#path = new Path(name);
    this.#tokenizer = new Tokenizer(bytes, TOKENIZER_OPTIONS);
  }

  decode(): Value {
    const value = this.#read();
    if (!this.#tokenizer.done()) throw this.#path.error('bytes are left over behind the value');
    return value;
  }

  #read(): Value {
    const token = this.#next();
    switch (token.type) {
      case Type.uint:
      case Type.negint:
        return this.#checkInteger(token.value);
      case Type.float:
        return this.#checkFloat(token);
      case Type.string:
        return this.#readText(token);
      case Type.array:
        return this.#readArray(token.value);
      case Type.map:
        return this.#readRecord(token.value);
      case Type.tag:
        return this.#readTagged(token.value);
      default:
        return token.value;
    }
  }

  #next(): Token {
    if (this.#tokenizer.done()) throw this.#path.error('the bytes end in the middle of a value');
    try {
      return this.#tokenizer.next();
    } catch (cause) {
      throw this.#path.error('the bytes are not a strict encoding', cause);
    }
  }

  #checkInteger(value: number | bigint): number {
    if (!isInteger(value)) throw this.#path.error('an integer beyond 2^53 that is not encoded as a bigint');
    return value;
  }

  #checkFloat({ value, encodedLength }: Token): number {
    if (encodedLength !== FLOAT_BYTES || isInteger(value)) {
      throw this.#path.error('a number that is not in its one encoding');
    }
    if (Number.isNaN(value)) {
      const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#tokenizer.pos() - 8, 8);
      if (view.getUint32(0) !== NAN_HIGH_WORD || view.getUint32(4) !== 0) {
        throw this.#path.error('a NaN that is not in its one encoding');
      }
    }
    return value;
  }

  #readText(token: Token): string {
    const bytes = token.byteValue;
    if (bytes === undefined) return '';
    if (bytes.length <= SHORT_TEXT_BYTES && isAscii(bytes)) return token.value;
    try {
      return utf8.decode(bytes);
    } catch (cause) {
      throw this.#path.error('a string that is not UTF-8', cause);
    }
  }

  #readArray(length: number): Value[] {
    this.#checkCount(length);
    const array: Value[] = [];
    for (let index = 0; index < length; index += 1) {
      this.#path.enter(index);
      array.push(this.#read());
      this.#path.leave();
    }
    return array;
  }

  #readRecord(size: number): { [key: string]: Value } {
    this.#checkCount(size * 2);
    const record: { [key: string]: Value } = {};
    for (let index = 0; index < size; index += 1) {
      const token = this.#next();
      if (token.type !== Type.string) throw this.#path.error('a key that is not a string');
      const key = this.#readText(token);
      this.#path.enter(key);
      if (FORBIDDEN_KEYS.has(key)) throw this.#path.error(describeForbiddenKey(key));
      if (Object.hasOwn(record, key)) throw this.#path.error('a key that comes twice');
      record[key] = this.#read();
      this.#path.leave();
    }
    return record;
  }

  /** Each item takes a byte at least, so a count beyond the bytes that are left is a lie. */
  #checkCount(count: number): void {
    if (this.#path.depth >= ENCODING_DEPTH_MAX) throw this.#path.error(describeDepth());
    if (count > this.#bytes.length - this.#tokenizer.pos()) {
      throw this.#path.error('more items than there are bytes');
    }
  }

  #readTagged(tag: number | bigint): Value {
    const create = TYPED_ARRAY_BY_TAG.get(Number(tag));
    if (create === undefined && tag !== BIGNUM_TAG && tag !== NEGATIVE_BIGNUM_TAG) {
      throw this.#path.error(`the unknown tag ${tag}`);
    }
    const { type, value } = this.#next();
    if (type !== Type.bytes) throw this.#path.error(`tag ${tag} without a byte string`);
    if (create === undefined) return this.#readBignum(value, tag === NEGATIVE_BIGNUM_TAG);
    if (value.length % create.BYTES_PER_ELEMENT !== 0) {
      throw this.#path.error(`a ${create.name} of ${value.length} bytes`);
    }
    return new create(value.buffer);
  }

  #readBignum(bytes: Uint8Array, isNegative: boolean): bigint {
    if (bytes.length > ENCODING_BIGINT_MAX || bytes[0] === 0) {
      throw this.#path.error('a bigint that is too long or not in its one encoding');
    }
    const magnitude = BigInt(`0x0${Buffer.from(bytes).toString('hex')}`);
    return isNegative ? -1n - magnitude : magnitude;
  }
}

function isInteger(value: number | bigint): value is number {
  return Number.isSafeInteger(value) && !Object.is(value, -0);
}

/** Bytes of the head of a data item with this argument. */
function headBytes(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 2 ** 8) return 2;
  if (argument < 2 ** 16) return 3;
  return argument < 2 ** 32 ? 5 : 9;
}

function isAscii(bytes: Uint8Array): boolean {
  for (let index = 0; index < bytes.length; index++) if ((bytes[index] as number) > 0x7f) return false;
  return true;
}

/** 0 or 1 for a plain object and 2 for a plain array, of whatever realm; more for an instance of a class. */
function countPrototypes(value: object): number {
  let count = 0;
  let prototype: object | null = Object.getPrototypeOf(value);
  for (; prototype !== null && count < 3; count += 1) prototype = Object.getPrototypeOf(prototype);
  return count;
}

const typedArrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)?.get;

/** The name of the kind of view that it is, whatever it says and whatever it was extended to. */
function typedArrayName(view: ArrayBufferView): string {
  return typedArrayTag?.call(view) ?? 'DataView';
}

function describeClass(value: object): string {
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === 'string' && name !== '' ? name.slice(0, KEY_SHOWN_CHARACTERS) : 'a class';
}

function describeKey(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`;
  if (key.length > KEY_SHOWN_CHARACTERS) return `[${JSON.stringify(key.slice(0, KEY_SHOWN_CHARACTERS))}…]`;
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

function describeSize(maximumBytes: number): string {
  return `the value takes more than ${maximumBytes} bytes: pass less, or copy bulk data`;
}

function describeDepth(): string {
  return `arrays and objects nest deeper than ${ENCODING_DEPTH_MAX} levels`;
}

function describeForbiddenKey(key: string): string {
  return `the key "${key}" cannot cross the boundary`;
}
