import { InvalidArgumentError } from '../../errors.ts';
import {
  FRAME_TABLE_BYTES,
  MAXIMUM_HEAP_PAGES,
  MINIMUM_CACHE_FRAMES,
  PAGE_BYTES,
  STORE_BATCH_PAGES,
  STORE_SLOT_BYTES,
} from '../../limits.ts';
import type { MappedMemory } from '../../linux/openssl.ts';

/** Versions in one table page: 8 bytes each. */
export const VERSIONS_PER_PAGE: number = PAGE_BYTES / 8;

/** Words of the header, each an Int32. Everything that a heap's threads share lies in private memory. */
export const Word = {
  /** Guards the page cache; see lock.ts. */
  cacheLock: 0,
  /** Guards the allocator. On a line of its own. */
  allocatorLock: 32,
  /** Frames that serve the cache now; the others are parked. */
  limit: 64,
  freeFrames: 65,
  firstFree: 66,
  firstParked: 67,
  /** Number of the page that failed its check, plus one; from then on nothing is loaded. */
  tampered: 68,
  policy: 69,
  policyState: 70,
  /** Counts blocks that were freed, so that a pointer knows when to check its block again. */
  frees: 80,
  generation: 81,
  /** Not 0 while blocks are being changed: a store that fails meanwhile leaves them in doubt. */
  allocatorBusy: 82,
  firstLevel: 83,
  keyBytes: 84,
} as const;

/** Numbers of the header, each a Float64. */
export const Quantity = {
  storeBytes: 0,
  dataPages: 1,
  tablePages: 2,
  /** One past the highest data page that was ever brought in. Beyond it the heap is zero. */
  touchedPages: 3,
  usedBytes: 4,
  blocks: 5,
  sealsPerKey: 6,
  counters: 8,
} as const;

/** Counters of the header, from `Quantity.counters` on. */
export const Counter = {
  hits: 0,
  faults: 1,
  pagesLoaded: 2,
  zeroPages: 3,
  cleanEvictions: 4,
  dirtyEvictions: 5,
  readAheadPages: 6,
  readAheadHits: 7,
  directReads: 8,
  sealedBytes: 9,
  openedBytes: 10,
  timedFaults: 11,
  timedMilliseconds: 12,
} as const;

const HEADER_WORDS = 256;
const HEADER_QUANTITIES = 64;
const MASTER_KEY_BYTES = 32;
const SCRATCH_BYTES = 64;

/** Hands out typed arrays over one buffer, each 64-byte aligned. */
class Carver {
  readonly #buffer: ArrayBuffer;
  #next: number;

  constructor(buffer: ArrayBuffer, start: number) {
    this.#buffer = buffer;
    this.#next = start;
  }

  get next(): number {
    return this.#next;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer, this.#take(length), length);
  }

  words(length: number): Int32Array<ArrayBuffer> {
    return new Int32Array(this.#buffer, this.#take(length * 4), length);
  }

  quantities(length: number): Float64Array<ArrayBuffer> {
    return new Float64Array(this.#buffer, this.#take(length * 8), length);
  }

  #take(bytes: number): number {
    const at = this.#next;
    this.#next = Math.ceil((at + bytes) / 64) * 64;
    return at;
  }
}

/** The tables of an eviction policy; what they mean is the policy's own affair. */
export interface PolicyTables {
  readonly queue: Uint8Array<ArrayBuffer>;
  readonly uses: Uint8Array<ArrayBuffer>;
  readonly newer: Int32Array<ArrayBuffer>;
  readonly older: Int32Array<ArrayBuffer>;
  readonly ghostPage: Int32Array<ArrayBuffer>;
  readonly ghostTime: Int32Array<ArrayBuffer>;
}

/**
 * Where everything lies in a heap's private memory. There is no state elsewhere: a thread that lays out the same
 * memory sees the same heap.
 */
export interface Layout {
  readonly frames: number;
  readonly words: Int32Array<ArrayBuffer>;
  readonly quantities: Float64Array<ArrayBuffer>;
  readonly seals: Float64Array<ArrayBuffer>;
  readonly master: Uint8Array<ArrayBuffer>;
  readonly scratch: Uint8Array<ArrayBuffer>;
  /** Heads of the allocator's free lists, and a bit for each that is not empty. */
  readonly freeBlocks: Uint32Array<ArrayBuffer>;
  readonly secondLevel: Int32Array<ArrayBuffer>;
  /** Versions of the table pages. */
  readonly root: Float64Array<ArrayBuffer>;
  /** Per frame: its page or -1; who holds it; dirty and other marks; the frame of its version; the next in line. */
  readonly pageOf: Int32Array<ArrayBuffer>;
  readonly pins: Int32Array<ArrayBuffer>;
  readonly marks: Uint8Array<ArrayBuffer>;
  readonly tableOf: Int32Array<ArrayBuffer>;
  readonly next: Int32Array<ArrayBuffer>;
  /** Heads of the lists by which a page is found, as frame plus one. A power of two. */
  readonly buckets: Int32Array<ArrayBuffer>;
  readonly policy: PolicyTables;
  /** Offset of the slots in which pages are sealed on their way out and opened on their way in. */
  readonly staging: number;
  /** Offset of the frames. */
  readonly pool: number;
}

/** Size classes of the allocator: 32 powers of two, each split in 16. */
export const SECOND_LEVEL_CLASSES = 16;
const FIRST_LEVEL_CLASSES = 32;

/** How many data and table pages a store of that many bytes holds. */
export function pagesOfStore(storeBytes: number): { dataPages: number; tablePages: number } {
  const slots = Math.min(Math.floor(storeBytes / STORE_SLOT_BYTES), MAXIMUM_HEAP_PAGES);
  const tablePages = Math.ceil(slots / (VERSIONS_PER_PAGE + 1));
  if (!(slots > tablePages)) throw new InvalidArgumentError('a backing store holds at least two pages');
  return { dataPages: slots - tablePages, tablePages };
}

export function layOut(memory: MappedMemory, storeBytes: number): Layout {
  const { tablePages } = pagesOfStore(storeBytes);
  const { buffer } = memory;
  const carver = new Carver(buffer, 0);
  if (buffer.byteLength < minimumBytes(tablePages)) {
    throw new InvalidArgumentError(
      `private memory of ${buffer.byteLength} bytes is too small for a heap over ${storeBytes} bytes; give it ${minimumBytes(tablePages)} or more`,
    );
  }
  const words = carver.words(HEADER_WORDS);
  const quantities = carver.quantities(HEADER_QUANTITIES);
  const seals = carver.quantities(1);
  const master = carver.bytes(MASTER_KEY_BYTES);
  const scratch = carver.bytes(SCRATCH_BYTES);
  const secondLevel = carver.words(FIRST_LEVEL_CLASSES);
  const freeLists = carver.words(FIRST_LEVEL_CLASSES * SECOND_LEVEL_CLASSES);
  const root = carver.quantities(tablePages);
  const staging = carver.bytes(STORE_BATCH_PAGES * STORE_SLOT_BYTES).byteOffset;
  const frames = Math.floor(
    (buffer.byteLength - carver.next - PAGE_BYTES) / (PAGE_BYTES + FRAME_TABLE_BYTES),
  );
  const powerOfTwo = 2 ** Math.floor(Math.log2(frames) + 1);
  const layout = {
    frames,
    words,
    quantities,
    seals,
    master,
    scratch,
    secondLevel,
    freeBlocks: new Uint32Array(buffer, freeLists.byteOffset, freeLists.length),
    root,
    staging,
    pageOf: carver.words(frames),
    pins: carver.words(frames),
    marks: carver.bytes(frames),
    tableOf: carver.words(frames),
    next: carver.words(frames),
    buckets: carver.words(powerOfTwo),
    policy: {
      queue: carver.bytes(frames),
      uses: carver.bytes(frames),
      newer: carver.words(frames),
      older: carver.words(frames),
      ghostPage: carver.words(powerOfTwo),
      ghostTime: carver.words(powerOfTwo),
    },
    pool: Math.ceil(carver.next / PAGE_BYTES) * PAGE_BYTES,
  };
  if (layout.pool + frames * PAGE_BYTES > buffer.byteLength) {
    throw new RangeError('the tables of the frames are larger than FRAME_TABLE_BYTES allows');
  }
  return layout;
}

/** The least private memory for a heap over a store with that many table pages. */
function minimumBytes(tablePages: number): number {
  const fixed =
    (HEADER_WORDS + FIRST_LEVEL_CLASSES * (SECOND_LEVEL_CLASSES + 1)) * 4 +
    (HEADER_QUANTITIES + tablePages) * 8 +
    STORE_BATCH_PAGES * STORE_SLOT_BYTES +
    2 * PAGE_BYTES;
  return fixed + MINIMUM_CACHE_FRAMES * (PAGE_BYTES + FRAME_TABLE_BYTES);
}

/** Private memory for a page cache of so many frames over a store of so many bytes. */
export function privateBytesFor(frames: number, storeBytes: number): number {
  const { tablePages } = pagesOfStore(storeBytes);
  const fixed = minimumBytes(tablePages) - MINIMUM_CACHE_FRAMES * (PAGE_BYTES + FRAME_TABLE_BYTES);
  const bytes = fixed + Math.max(frames, MINIMUM_CACHE_FRAMES) * (PAGE_BYTES + FRAME_TABLE_BYTES);
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}
