import { InvalidArgumentError } from '../../errors.ts';
import type { SecureHeap } from './heap.ts';
import { LARGEST_SMALL_INTEGER, type SecurePointer } from './pointer.ts';

interface Arrays {
  u8: Uint8Array<ArrayBuffer>;
  i8: Int8Array<ArrayBuffer>;
  u16: Uint16Array<ArrayBuffer>;
  i16: Int16Array<ArrayBuffer>;
  u32: Uint32Array<ArrayBuffer>;
  i32: Int32Array<ArrayBuffer>;
  f32: Float32Array<ArrayBuffer>;
  f64: Float64Array<ArrayBuffer>;
  u64: BigUint64Array<ArrayBuffer>;
  i64: BigInt64Array<ArrayBuffer>;
}

export type ElementKind = keyof Arrays;
export type Element<K extends ElementKind> = K extends 'u64' | 'i64' ? bigint : number;
export type ElementsOf<K extends ElementKind> = Arrays[K];

/** The typed array of each kind. */
export const ELEMENTS: {
  readonly [K in ElementKind]: {
    readonly BYTES_PER_ELEMENT: number;
    new (buffer: ArrayBuffer, offset: number, length: number): Arrays[K];
  };
} = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  f64: Float64Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
};

/** What the typed arrays have in common, for code that is the same for numbers and big integers. */
interface Elements<E> {
  [index: number]: E;
  readonly length: number;
  readonly buffer: ArrayBuffer;
  readonly byteOffset: number;
  readonly byteLength: number;
  fill(value: E, start?: number, end?: number): unknown;
  subarray(start: number, end: number): unknown;
}

const LEAST_CAPACITY = 16;

/**
 * A typed array in secure memory, which may be larger than private memory, and may grow. It begins as zeros. An element
 * never crosses the border of a page, so an access within the linked page is a test and a typed-array access.
 *
 * It pins one page while it is linked; `unlink` releases it. `free` and the end of a `using` scope free its memory.
 */
export class SecureArray<K extends ElementKind> implements Disposable {
  readonly kind: K;
  readonly heap: SecureHeap;
  readonly #frames: Elements<Element<K>>;
  readonly #elementBytes: number;
  #pointer: SecurePointer;
  #length: number;
  /** The linked window, in elements. */
  #low = 1;
  #high = 0;
  #writable = 0;
  #shift = 0;

  constructor(heap: SecureHeap, kind: K, length: number, options: { sparse?: boolean } = {}) {
    const { frames } = heap;
    this.kind = kind;
    this.heap = heap;
    this.#elementBytes = ELEMENTS[kind].BYTES_PER_ELEMENT;
    checkLength(length);
    this.#frames = new ELEMENTS[kind](
      frames.buffer,
      frames.byteOffset,
      frames.byteLength / this.#elementBytes,
    ) as unknown as Elements<Element<K>>;
    this.#pointer = heap.alloc(Math.max(length, LEAST_CAPACITY) * this.#elementBytes, options);
    this.#length = length;
  }

  get length(): number {
    return this.#length;
  }

  get(index: number): Element<K> {
    if (!(index >= this.#low && index < this.#high)) this.#link(index, false);
    return this.#frames[(index + this.#shift) >>> 0]!;
  }

  set(index: number, value: Element<K>): void {
    if (!(index >= this.#low && index < this.#writable)) this.#link(index, true);
    this.#frames[(index + this.#shift) >>> 0] = value;
  }

  push(value: Element<K>): void {
    const index = this.#length;
    this.resize(index + 1);
    this.set(index, value);
  }

  pop(): Element<K> | undefined {
    if (this.#length === 0) return undefined;
    const value = this.get(this.#length - 1);
    this.resize(this.#length - 1);
    return value;
  }

  /** Makes it longer, by zeros, or shorter. Room grows by doubling, so that pushing costs a constant. */
  resize(length: number): void {
    checkLength(length);
    const room = this.#pointer.length / this.#elementBytes;
    if (length > room) {
      this.unlink();
      this.#pointer = this.heap.realloc(this.#pointer, Math.max(length, room * 2) * this.#elementBytes);
    } else if (length < this.#length) {
      const from = length * this.#elementBytes;
      this.#pointer.fill(0, from, this.#length * this.#elementBytes - from);
      this.unlink();
    } else if (this.#high < length) {
      this.unlink();
    }
    this.#length = length;
  }

  /** Fills `target` with the elements from `index` on. */
  read(index: number, target: ElementsOf<K>): void {
    this.#check(index, target.length);
    this.#pointer.read(index * this.#elementBytes, bytesOf(target));
    this.#forgetWindow();
  }

  write(index: number, source: ElementsOf<K>): void {
    this.#check(index, source.length);
    this.#pointer.write(index * this.#elementBytes, bytesOf(source));
    this.#forgetWindow();
  }

  fill(value: Element<K>, from: number = 0, to: number = this.#length): void {
    this.#check(from, to - from);
    for (let index = from; index < to; index = this.#high) {
      this.#link(index, true);
      this.#frames.fill(value, index + this.#shift, Math.min(this.#high, to) + this.#shift);
    }
  }

  /**
   * The elements from `from` to `to`, a page at a time, where they lie in private memory: for loops at the full speed
   * of typed arrays. Each is valid until the next, and not to be written to.
   */
  *chunks(from: number = 0, to: number = this.#length): Generator<ElementsOf<K>> {
    this.#check(from, to - from);
    for (let index = from; index < to; ) {
      this.#link(index, false);
      const end = Math.min(this.#high, to);
      yield this.#frames.subarray(index + this.#shift, end + this.#shift) as ElementsOf<K>;
      index = end;
    }
  }

  *[Symbol.iterator](): Generator<Element<K>> {
    for (let index = 0; index < this.#length; index++) yield this.get(index);
  }

  willNeed(from: number, to: number): void {
    this.#check(from, to - from);
    this.heap.willNeed(this.#pointer, from * this.#elementBytes, (to - from) * this.#elementBytes);
  }

  dontNeed(from: number, to: number): void {
    this.#check(from, to - from);
    this.heap.dontNeed(this.#pointer, from * this.#elementBytes, (to - from) * this.#elementBytes);
  }

  /** Exchanges contents with another array of the same kind, without moving them. */
  exchange(other: SecureArray<K>): void {
    this.unlink();
    other.unlink();
    [this.#pointer, other.#pointer] = [other.#pointer, this.#pointer];
    [this.#length, other.#length] = [other.#length, this.#length];
  }

  unlink(): void {
    this.#pointer.unlink();
    this.#forgetWindow();
  }

  free(): void {
    this.unlink();
    this.heap.free(this.#pointer);
    this.#length = 0;
  }

  [Symbol.dispose](): void {
    this.free();
  }

  #link(index: number, writing: boolean): void {
    this.#check(index, 1);
    const bytes = this.#elementBytes;
    this.#forgetWindow();
    this.#pointer.link(index * bytes, writing);
    const low = this.#pointer.windowStart / bytes;
    const high = Math.min(this.#pointer.windowEnd / bytes, this.#length);
    const shift = this.#pointer.windowPosition / bytes - low;
    // As in `SecurePointer`: small integers where they do.
    if (high <= LARGEST_SMALL_INTEGER) {
      this.#low = low | 0;
      this.#high = high | 0;
      this.#writable = writing ? high | 0 : 0;
      this.#shift = shift | 0;
    } else {
      this.#low = low;
      this.#high = high;
      this.#writable = writing ? high : 0;
      this.#shift = shift;
    }
  }

  #forgetWindow(): void {
    this.#low = 1;
    this.#high = 0;
    this.#writable = 0;
  }

  #check(index: number, count: number): void {
    const sane = Number.isSafeInteger(index) && Number.isSafeInteger(count) && index >= 0 && count >= 0;
    if (sane && index + count <= this.#length) return;
    throw new InvalidArgumentError(
      `${count} elements at ${index} lie outside an array of ${this.#length} elements`,
    );
  }
}

function bytesOf(elements: Elements<unknown> | ElementsOf<ElementKind>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
}

function checkLength(length: number): void {
  if (Number.isSafeInteger(length) && length >= 0) return;
  throw new InvalidArgumentError(`an array has a whole number of elements, not ${length}`);
}
