import { InvalidArgumentError } from '../../errors.ts';
import { STORE_SLOT_BYTES } from '../../limits.ts';
import { addressOf } from '../../linux/ffi.ts';
import { copyMemory } from '../../linux/memory.ts';
import type { MappedMemory } from '../../linux/openssl.ts';

/** One piece to move between private memory (at `offset` into it) and a store (at `position`), in bytes. */
export interface Transfer {
  position: number;
  offset: number;
  bytes: number;
}

/**
 * Untrusted room for sealed pages. A transfer never crosses a slot (`STORE_SLOT_BYTES`). What `load` brings is
 * whatever the host likes; the heap authenticates its own copy. A store that fails throws, and the heap keeps
 * every page that it had.
 */
export interface BackingStore {
  readonly bytes: number;
  /** How many transfers cost about as much as one: what the heap moves at a time. */
  readonly batch: number;
  load(transfers: readonly Transfer[], count: number): void;
  save(transfers: readonly Transfer[], count: number): void;
}

/** The extent with this number, made when first asked for; the same memory for every thread that asks. */
export type ExtentSource = (index: number) => Uint8Array<SharedArrayBuffer>;

/** A store in untrusted shared memory that grows by extents as pages are saved. */
export class SharedMemoryStore implements BackingStore {
  readonly bytes: number;
  readonly batch = 1;
  readonly #privateAddress: number;
  readonly #usable: number;
  readonly #source: ExtentSource;
  readonly #extents: Uint8Array<SharedArrayBuffer>[] = [];
  readonly #addresses: number[] = [];

  constructor(memory: MappedMemory, bytes: number, extentBytes: number, source: ExtentSource) {
    if (extentBytes < STORE_SLOT_BYTES) {
      throw new InvalidArgumentError(`an extent holds at least one slot of ${STORE_SLOT_BYTES} bytes`);
    }
    this.bytes = bytes;
    this.#privateAddress = memory.address;
    this.#usable = extentBytes - (extentBytes % STORE_SLOT_BYTES);
    this.#source = source;
  }

  load(transfers: readonly Transfer[], count: number): void {
    for (let index = 0; index < count; index++) {
      const { position, offset, bytes } = transfers[index]!;
      copyMemory(this.#privateAddress + offset, this.#addressOf(position), bytes);
    }
  }

  save(transfers: readonly Transfer[], count: number): void {
    for (let index = 0; index < count; index++) {
      const { position, offset, bytes } = transfers[index]!;
      copyMemory(this.#addressOf(position), this.#privateAddress + offset, bytes);
    }
  }

  #addressOf(position: number): number {
    const extent = Math.floor(position / this.#usable);
    return (this.#addresses[extent] ?? this.#add(extent)) + (position - extent * this.#usable);
  }

  #add(index: number): number {
    const extent = this.#source(index);
    if (extent.byteLength < this.#usable) {
      throw new InvalidArgumentError(`extent ${index} has ${extent.byteLength} bytes, not ${this.#usable}`);
    }
    this.#extents[index] = extent;
    this.#addresses[index] = addressOf(extent);
    return this.#addresses[index];
  }
}

/**
 * A file of the host, as reads and writes at positions. Each call moves `count` pieces and returns when all are
 * done; a read past the end leaves the rest of its buffer as it is. Buffers are private memory.
 */
export interface PositionalFile {
  read(buffers: readonly Uint8Array<ArrayBuffer>[], positions: readonly number[]): void;
  write(buffers: readonly Uint8Array<ArrayBuffer>[], positions: readonly number[]): void;
}

/** A store in a file. It is written in batches because each call has a cost of its own. */
export class FileStore implements BackingStore {
  readonly bytes: number;
  readonly batch: number;
  readonly #memory: ArrayBuffer;
  readonly #file: PositionalFile;

  constructor(memory: MappedMemory, bytes: number, file: PositionalFile, batch: number) {
    this.bytes = bytes;
    this.batch = batch;
    this.#memory = memory.buffer;
    this.#file = file;
  }

  load(transfers: readonly Transfer[], count: number): void {
    const pieces = transfers.slice(0, count);
    const buffers = pieces.map(({ offset, bytes }) => new Uint8Array(this.#memory, offset, bytes));
    // A file that ends early must not leave an earlier page's bytes in their place.
    for (const buffer of buffers) buffer.fill(0);
    this.#file.read(
      buffers,
      pieces.map(({ position }) => position),
    );
  }

  save(transfers: readonly Transfer[], count: number): void {
    const pieces = transfers.slice(0, count);
    this.#file.write(
      pieces.map(({ offset, bytes }) => new Uint8Array(this.#memory, offset, bytes)),
      pieces.map(({ position }) => position),
    );
  }
}
