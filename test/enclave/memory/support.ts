import { type HeapOptions, SecureHeap } from '../../../src/enclave/memory/heap.ts';
import { privateBytesFor } from '../../../src/enclave/memory/layout.ts';
import {
  type BackingStore,
  SharedMemoryStore,
  type Transfer,
  type UntrustedMemory,
} from '../../../src/enclave/memory/store.ts';
import { addressOf } from '../../../src/linux/ffi.ts';
import type { MappedMemory } from '../../../src/linux/openssl.ts';

export const MEBIBYTE: number = 2 ** 20;

export function ordinaryMemory(bytes: number): MappedMemory {
  const buffer = new ArrayBuffer(bytes);
  return { address: addressOf(new Uint8Array(buffer)), buffer };
}

/** Memory that a host could read and write; it lasts as long as what is returned. */
export function untrustedMemory(
  buffer: SharedArrayBuffer,
): UntrustedMemory & { readonly buffer: SharedArrayBuffer } {
  return { address: addressOf(new Uint8Array(buffer)), bytes: buffer.byteLength, buffer };
}

/** A heap over shared memory, with what a hostile host would see of it. */
export function createHeap(
  frames: number,
  storeBytes: number,
  options: HeapOptions = {},
): { heap: SecureHeap; store: HostileStore; memory: MappedMemory } {
  const memory = ordinaryMemory(privateBytesFor(frames, storeBytes));
  const untrusted = untrustedMemory(new SharedArrayBuffer(storeBytes));
  const store = new HostileStore(memory, new SharedMemoryStore(memory, untrusted));
  return { heap: SecureHeap.create(memory, store, { frames, ...options }), store, memory };
}

/** A store that does what it should until told otherwise, and keeps what it was given. */
export class HostileStore implements BackingStore {
  readonly bytes: number;
  readonly batch: number;
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly #inner: BackingStore;
  /** Called after a load with the bytes that the heap is about to check. */
  onLoad: ((transfer: Transfer, bytes: Uint8Array<ArrayBuffer>) => void) | undefined;
  /** Called before a save with the bytes that the heap gives away. */
  onSave: ((transfer: Transfer, bytes: Uint8Array<ArrayBuffer>) => void) | undefined;

  constructor(memory: MappedMemory, inner: BackingStore) {
    this.bytes = inner.bytes;
    this.batch = inner.batch;
    this.memory = new Uint8Array(memory.buffer);
    this.#inner = inner;
  }

  load(transfers: readonly Transfer[], count: number): void {
    this.#inner.load(transfers, count);
    for (const transfer of transfers.slice(0, count)) this.onLoad?.(transfer, this.#bytesOf(transfer));
  }

  save(transfers: readonly Transfer[], count: number): void {
    for (const transfer of transfers.slice(0, count)) this.onSave?.(transfer, this.#bytesOf(transfer));
    this.#inner.save(transfers, count);
  }

  #bytesOf({ offset, bytes }: Transfer): Uint8Array<ArrayBuffer> {
    return this.memory.subarray(offset, offset + bytes);
  }
}

/** Whole numbers below a limit, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}
