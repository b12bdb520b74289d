import { types } from 'node:util';
import { ENCODING_BIGINT_MAX, ENCODING_DEPTH_MAX } from '../limits.ts';
import {
  BIGNUM_TAG,
  describeDepth,
  describeForbiddenKey,
  describeSize,
  FLOAT_BYTES,
  FORBIDDEN_KEYS,
  isInteger,
  KEY_SHOWN_CHARACTERS,
  NEGATIVE_BIGNUM_TAG,
  Path,
  SHORT_TEXT_BYTES,
  TAG_BY_NAME,
} from './encoding.ts';

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

/** Bytes of the head of a data item with this argument. */
function headBytes(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 2 ** 8) return 2;
  if (argument < 2 ** 16) return 3;
  return argument < 2 ** 32 ? 5 : 9;
}

const typedArrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)?.get;

/** The name of the kind of view that it is, whatever it says and whatever it was extended to. */
function typedArrayName(view: ArrayBufferView): string {
  return typedArrayTag?.call(view) ?? 'DataView';
}

/** 0 or 1 for a plain object and 2 for a plain array, of whatever realm; more for an instance of a class. */
function countPrototypes(value: object): number {
  let count = 0;
  let prototype: object | null = Object.getPrototypeOf(value);
  for (; prototype !== null && count < 3; count += 1) prototype = Object.getPrototypeOf(prototype);
  return count;
}

function describeClass(value: object): string {
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === 'string' && name !== '' ? name.slice(0, KEY_SHOWN_CHARACTERS) : 'a class';
}
