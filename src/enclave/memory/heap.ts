import { InvalidArgumentError, MemoryError } from '../../errors.ts';
import { MINIMUM_CACHE_FRAMES, PAGE_BYTES, SEALS_PER_KEY } from '../../limits.ts';
import { type AesGcm, createAesGcm, type KeyBytes, type MappedMemory } from '../../linux/openssl.ts';
import { Allocator, type Block } from './allocator.ts';
import { type MemoryCounters, readCounters } from './counters.ts';
import { Evictor } from './evictor.ts';
import { Mark } from './frame-table.ts';
import { type Layout, layOut, pagesOfStore, Quantity, Word } from './layout.ts';
import { lock, unlock } from './lock.ts';
import { PageCache, pageOf } from './page-cache.ts';
import { SecurePointer } from './pointer.ts';
import { createPolicy, POLICIES, type PolicyName } from './policy.ts';
import { drawMasterKey, PageSealer } from './sealing.ts';
import type { BackingStore } from './store.ts';

export interface HeapOptions {
  /** Frames of the page cache to begin with; as many as the private memory has room for unless told otherwise. */
  readonly frames?: number;
  readonly policy?: PolicyName;
  /** 16 for AES-128 (the default), 32 for AES-256. */
  readonly keyBytes?: KeyBytes;
  /** Another cipher than the one that was found to be the fastest. */
  readonly cipher?: (memory: MappedMemory, keyBytes: KeyBytes) => AesGcm;
  /** Fewer seals under one key than the limit. */
  readonly sealsPerKey?: number;
}

/** S3-FIFO had the best or nearly the best hit ratio on every trace that was measured (see the memory benchmark). */
const DEFAULT_POLICY: PolicyName = 's3-fifo';

/**
 * Memory for more than fits in private memory: pages are kept in frames there, and sealed in a backing store that need
 * not be trusted (Eleos' SUVM). Everything that the heap knows lies in the private memory that it was given, so the
 * threads of an enclave can each attach to it.
 */
export class SecureHeap implements Disposable {
  /** The frames, for loops that use `SecurePointer.locate`. */
  readonly frames: Uint8Array<ArrayBuffer>;
  readonly cache: PageCache;
  /** Bytes of the heap, with the headers of its blocks. */
  readonly bytes: number;
  readonly linked: SecurePointer[] = [];
  readonly #layout: Layout;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #allocator: Allocator;
  #sharing = false;
  #evictor: Evictor | undefined;

  /** Makes an empty heap in `memory`, whatever was there before. */
  static create(memory: MappedMemory, store: BackingStore, options: HeapOptions = {}): SecureHeap {
    const layout = layOut(memory, store.bytes);
    const frames = options.frames ?? layout.frames;
    checkFrames(frames, layout.frames);
    new Uint8Array(memory.buffer, 0, layout.pool).fill(0);
    const { dataPages, tablePages } = pagesOfStore(store.bytes);
    layout.quantities[Quantity.storeBytes] = store.bytes;
    layout.quantities[Quantity.dataPages] = dataPages;
    layout.quantities[Quantity.tablePages] = tablePages;
    layout.words[Word.policy] = POLICIES.indexOf(options.policy ?? DEFAULT_POLICY);
    layout.words[Word.keyBytes] = options.keyBytes ?? 16;
    layout.quantities[Quantity.sealsPerKey] = options.sealsPerKey ?? SEALS_PER_KEY;
    drawMasterKey(layout);
    const heap = new SecureHeap(memory, layout, store, options);
    heap.cache.format(frames);
    heap.#allocator.format();
    return heap;
  }

  /**
   * The heap that another thread made in `memory` and shares, over this thread's view of the same store. Pointers and
   * containers belong to the thread that made them; addresses may be handed on.
   */
  static attach(
    memory: MappedMemory,
    store: BackingStore,
    options: Pick<HeapOptions, 'cipher'> = {},
  ): SecureHeap {
    const layout = layOut(memory, store.bytes);
    if (layout.quantities[Quantity.storeBytes] !== store.bytes) {
      throw new InvalidArgumentError('there is no heap over a store of that size in this memory');
    }
    const heap = new SecureHeap(memory, layout, store, options);
    heap.share();
    return heap;
  }

  private constructor(
    memory: MappedMemory,
    layout: Layout,
    store: BackingStore,
    options: Pick<HeapOptions, 'cipher'>,
  ) {
    const keyBytes = layout.words[Word.keyBytes] as KeyBytes;
    const sealsPerKey = layout.quantities[Quantity.sealsPerKey]!;
    const cipher = options.cipher ?? createAesGcm;
    this.#layout = layout;
    this.#words = layout.words;
    this.bytes = layout.quantities[Quantity.dataPages]! * PAGE_BYTES;
    this.cache = new PageCache(memory, layout, {
      sealer: new PageSealer(memory, layout, { keyBytes, sealsPerKey, cipher }),
      policy: createPolicy(POLICIES[layout.words[Word.policy]!]!, layout),
      store,
    });
    this.frames = this.cache.frames;
    const whole = new SecurePointer(this, { address: 0, length: this.bytes, generation: 0 });
    this.#allocator = new Allocator(layout, this.cache, whole);
  }

  get policy(): PolicyName {
    return POLICIES[this.#words[Word.policy]!]!;
  }

  /** Frames that the page cache has now. */
  get frameCount(): number {
    return this.#words[Word.limit]!;
  }

  /** Frames that this private memory has room for. */
  get frameCapacity(): number {
    return this.#layout.frames;
  }

  get frees(): number {
    return this.#words[Word.frees]!;
  }

  /** To be called before another thread attaches: from now on every operation takes a lock in private memory. */
  share(): void {
    this.#sharing = true;
    this.cache.share();
  }

  /**
   * A block of `bytes` zeros. `sparse` says that it will be read here and there in small pieces: it is then sealed by
   * sub-pages, and `read` opens only those it needs when the page is not in the cache.
   */
  alloc(bytes: number, options: { sparse?: boolean } = {}): SecurePointer {
    return new SecurePointer(this, {
      ...this.#exclusively(() => this.#allocator.allocate(bytes)),
      ...options,
    });
  }

  /** Frees a block. Pointers of this thread to it are unlinked; whoever uses one afterwards gets an error. */
  free(pointer: SecurePointer): void {
    this.#exclusively(() => {
      this.#check(pointer.address, pointer.generation);
      this.#unlinkBlock(pointer);
      this.#allocator.free(pointer.address);
    });
  }

  /** A block with the same content and another length; it may move. The old pointer is of no use afterwards. */
  realloc(pointer: SecurePointer, bytes: number): SecurePointer {
    const resized = this.#exclusively(() => {
      this.#check(pointer.address, pointer.generation);
      this.#unlinkBlock(pointer);
      return this.#allocator.resize(pointer.address, bytes);
    });
    if (resized !== undefined) return new SecurePointer(this, { ...resized, sparse: pointer.sparse });
    const moved = this.alloc(bytes, { sparse: pointer.sparse });
    pointer.copy(0, moved, 0, Math.min(pointer.length, bytes));
    moved.unlink();
    this.free(pointer);
    return moved;
  }

  /** A new pointer to the block at an address that `SecurePointer.address` gave. */
  pointer(address: number, options: { sparse?: boolean } = {}): SecurePointer {
    return new SecurePointer(this, { ...this.#find(address), ...options });
  }

  /**
   * A pointer to the heap as a whole, whose offsets are addresses: for containers, which know where their blocks are.
   * No block is checked; unlink it before a block that it was used on is freed.
   */
  whole(): SecurePointer {
    return new SecurePointer(this, { address: 0, length: this.bytes, generation: 0 });
  }

  verify(address: number, generation: number): void {
    this.#exclusively(() => this.#check(address, generation));
  }

  /** Keeps the pages of a range in their frames until the result is disposed of. */
  pin(pointer: SecurePointer, offset: number, bytes: number): Disposable {
    const { first, count } = pagesOf(pointer, offset, bytes);
    const { cache } = this;
    const frames: number[] = [];
    const release = () => {
      for (const frame of frames.splice(0)) cache.release(frame);
    };
    try {
      for (let page = first; page < first + count; page++) frames.push(cache.acquire(page, Mark.none));
    } catch (error) {
      release();
      throw error;
    }
    return { [Symbol.dispose]: release };
  }

  /** Brings a range in before it is used; at most half of the cache. */
  willNeed(pointer: SecurePointer, offset: number, bytes: number): void {
    const { first, count } = pagesOf(pointer, offset, bytes);
    this.cache.willNeed(first, count);
  }

  /** Makes room: a range that will not be used soon leaves the cache. */
  dontNeed(pointer: SecurePointer, offset: number, bytes: number): void {
    const { first, count } = pagesOf(pointer, offset, bytes);
    this.cache.dontNeed(first, count);
  }

  /** Evicts until so many frames are free, or nothing more can leave. Returns how many are free. */
  reclaim(targetFree: number): number {
    return this.cache.reclaim(Math.min(targetFree, this.frameCount));
  }

  /**
   * From now on evicts between the tasks of this thread, so that about so many frames are free when one begins. It does
   * nothing while a task runs.
   */
  keepFree(frames: number): void {
    if (!(Number.isSafeInteger(frames) && frames > 0 && frames <= this.#layout.frames / 2)) {
      throw new InvalidArgumentError(
        `from 1 to ${Math.floor(this.#layout.frames / 2)} frames of this cache can be kept free, not ${frames}`,
      );
    }
    this.#evictor?.close();
    this.#evictor = new Evictor(this.cache, frames);
  }

  /** Changes how many frames the cache has. Returns how many it has: pinned ones stay until a later call. */
  resize(frames: number): number {
    checkFrames(frames, this.#layout.frames);
    return this.cache.resize(frames);
  }

  counters(): MemoryCounters {
    return readCounters(this.#layout);
  }

  /** Frees the ciphers of this thread and closes its store. The heap's memory is its owner's to wipe or unmap. */
  close(): void {
    this.#evictor?.close();
    this.cache.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #find(address: number): Block {
    return this.#exclusively(() => this.#allocator.find(address));
  }

  #check(address: number, generation: number): void {
    if (this.#allocator.find(address).generation === generation) return;
    throw new MemoryError(
      'SGXIO_MEMORY_MISUSE',
      `the block at ${address} was freed or resized; this pointer is to what was there before`,
    );
  }

  #unlinkBlock(pointer: SecurePointer): void {
    for (const linked of [...this.linked]) {
      if (linked.address === pointer.address) linked.unlink();
    }
  }

  #exclusively<T>(work: () => T): T {
    if (!this.#sharing) return work();
    lock(this.#words, Word.allocatorLock);
    try {
      return work();
    } finally {
      unlock(this.#words, Word.allocatorLock);
    }
  }
}

function checkFrames(frames: number, most: number): void {
  if (Number.isSafeInteger(frames) && frames >= MINIMUM_CACHE_FRAMES && frames <= most) return;
  throw new InvalidArgumentError(
    `a page cache of ${frames} frames: this private memory has room for ${MINIMUM_CACHE_FRAMES} to ${most}`,
  );
}

function pagesOf(pointer: SecurePointer, offset: number, bytes: number): { first: number; count: number } {
  pointer.checkRange(offset, bytes);
  if (bytes === 0) return { first: 0, count: 0 };
  const first = pageOf(pointer.address + offset);
  return { first, count: pageOf(pointer.address + offset + bytes - 1) - first + 1 };
}
