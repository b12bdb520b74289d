import { InvalidArgumentError } from '../../errors.ts';
import { PAGE_BYTES } from '../../limits.ts';
import type { SecureHeap } from './heap.ts';
import type { SecurePointer } from './pointer.ts';

const LEAST_CAPACITY = 64;

/**
 * Bytes in secure memory, of a length that changes: what a file or a long value would be. Offsets are in bytes.
 * `free` and the end of a `using` scope free its memory; `unlink` releases its pin.
 */
export class SecureBlob implements Disposable {
  readonly #heap: SecureHeap;
  #pointer: SecurePointer;
  #length = 0;

  constructor(
    heap: SecureHeap,
    content?: string | Uint8Array<ArrayBuffer>,
    options: { sparse?: boolean } = {},
  ) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    this.#heap = heap;
    this.#pointer = heap.alloc(Math.max(bytes?.length ?? 0, LEAST_CAPACITY), options);
    if (bytes !== undefined) this.append(bytes);
  }

  get length(): number {
    return this.#length;
  }

  read(offset: number, target: Uint8Array<ArrayBuffer>): void {
    this.#check(offset, target.length);
    this.#pointer.read(offset, target);
  }

  /** A copy of the bytes from `from` to `to`. */
  slice(from: number = 0, to: number = this.#length): Uint8Array<ArrayBuffer> {
    this.#check(from, to - from);
    const bytes = new Uint8Array(to - from);
    this.#pointer.read(from, bytes);
    return bytes;
  }

  /** Writes at any offset up to the end, beyond which it grows. */
  write(offset: number, source: Uint8Array<ArrayBuffer>): void {
    this.#check(offset, 0);
    if (offset + source.length > this.#length) this.resize(offset + source.length);
    this.#pointer.write(offset, source);
  }

  append(source: Uint8Array<ArrayBuffer>): void {
    this.write(this.#length, source);
  }

  /** Makes it longer, by zeros, or shorter. */
  resize(length: number): void {
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new InvalidArgumentError(`a blob has a whole number of bytes, not ${length}`);
    }
    if (length > this.#pointer.length) {
      this.#pointer = this.#heap.realloc(this.#pointer, Math.max(length, this.#pointer.length * 2));
    } else if (length < this.#length) {
      this.#pointer.fill(0, length, this.#length - length);
    }
    this.#length = length;
  }

  equals(other: SecureBlob): boolean {
    return this.#length === other.#length && this.#pointer.compare(0, other.#pointer, 0, this.#length) === 0;
  }

  text(): string {
    return new TextDecoder().decode(this.slice());
  }

  /** Copies of its content, a page's length at a time. */
  *[Symbol.iterator](): Generator<Uint8Array<ArrayBuffer>> {
    for (let offset = 0; offset < this.#length; offset += PAGE_BYTES) {
      yield this.slice(offset, Math.min(offset + PAGE_BYTES, this.#length));
    }
  }

  unlink(): void {
    this.#pointer.unlink();
  }

  free(): void {
    this.#heap.free(this.#pointer);
    this.#length = 0;
  }

  [Symbol.dispose](): void {
    this.free();
  }

  #check(offset: number, bytes: number): void {
    const sane = Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0;
    if (sane && offset + bytes <= this.#length) return;
    throw new InvalidArgumentError(`${bytes} bytes at ${offset} lie outside a blob of ${this.#length}`);
  }
}
