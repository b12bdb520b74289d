import { InvalidArgumentError } from '../../errors.ts';
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
  close?(): void;
}

/**
 * Memory that the host reads and writes as it likes. It is named by its address alone, so that nothing but a copy
 * can touch it, and so that it may be longer than any typed array.
 */
export interface UntrustedMemory {
  readonly address: number;
  readonly bytes: number;
}

/** A store in untrusted shared memory, all of it mapped; what was never written takes no memory of the machine. */
export class SharedMemoryStore implements BackingStore {
  readonly bytes: number;
  readonly batch = 1;
  readonly #privateAddress: number;
  readonly #store: UntrustedMemory;

  constructor(memory: MappedMemory, store: UntrustedMemory) {
    this.bytes = store.bytes;
    this.#privateAddress = memory.address;
    this.#store = store;
  }

  load(transfers: readonly Transfer[], count: number): void {
    for (let index = 0; index < count; index++) {
      const { position, offset, bytes } = transfers[index]!;
      copyMemory(this.#privateAddress + offset, this.#addressOf(position, bytes), bytes);
    }
  }

  save(transfers: readonly Transfer[], count: number): void {
    for (let index = 0; index < count; index++) {
      const { position, offset, bytes } = transfers[index]!;
      copyMemory(this.#addressOf(position, bytes), this.#privateAddress + offset, bytes);
    }
  }

  #addressOf(position: number, bytes: number): number {
    if (position >= 0 && position + bytes <= this.bytes) return this.#store.address + position;
    throw new InvalidArgumentError(`${bytes} bytes at ${position} lie outside a store of ${this.bytes}`);
  }
}

/**
 * A file of the host, as reads and writes at positions. Each call moves all pieces and returns when they are done;
 * a read past the end leaves the rest of its buffer as it is. Buffers are private memory.
 */
export interface PositionalFile {
  read(buffers: readonly Uint8Array<ArrayBuffer>[], positions: readonly number[]): void;
  write(buffers: readonly Uint8Array<ArrayBuffer>[], positions: readonly number[]): void;
  close?(): void;
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

  close(): void {
    this.#file.close?.();
  }
}
