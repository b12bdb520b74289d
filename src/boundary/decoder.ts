import { type Token, Tokenizer, Type } from 'cborg';
import { EncodingError } from '../errors.ts';
import { ENCODING_BIGINT_MAX, ENCODING_DEPTH_MAX } from '../limits.ts';
import {
  BIGNUM_TAG,
  describeDepth,
  describeForbiddenKey,
  describeSize,
  FLOAT_BYTES,
  FORBIDDEN_KEYS,
  isInteger,
  NEGATIVE_BIGNUM_TAG,
  Path,
  SHORT_TEXT_BYTES,
  TYPED_ARRAY_BY_TAG,
  type Value,
} from './encoding.ts';

const NAN_HIGH_WORD = 0x7ff8_0000;

/** Decodes what `encode` made. All else is an `EncodingError`, in time that grows with the bytes alone. */
export function decode(bytes: Uint8Array<ArrayBuffer>, name: string, maximumBytes: number): Value {
  if (bytes.length > maximumBytes) throw new EncodingError(`${name}: ${describeSize(maximumBytes)}`);
  // What a `Buffer` calls a slice is no copy.
  const plain = Buffer.isBuffer(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : bytes;
  return new Decoder(plain, name).decode();
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

function isAscii(bytes: Uint8Array): boolean {
  for (let index = 0; index < bytes.length; index++) if ((bytes[index] as number) > 0x7f) return false;
  return true;
}
