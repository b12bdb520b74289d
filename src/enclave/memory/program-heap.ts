import { InvalidArgumentError } from '../../errors.ts';
import { PAGE_BYTES, STORE_BATCH_PAGES } from '../../limits.ts';
import { viewOf } from '../../linux/ffi.ts';
import type { MappedMemory } from '../../linux/openssl.ts';
import { letHostResize } from '../balloon.ts';
import { openHostFile } from '../open-file.ts';
import { sharedRegion, takePrivateMemory } from '../private-memory.ts';
import { storeAt, takeStore } from '../shared-store.ts';
import { type HeapOptions, SecureHeap } from './heap.ts';
import { HostFile } from './host-file.ts';
import { lock, unlock } from './lock.ts';
import { type BackingStore, FileStore, SharedMemoryStore } from './store.ts';

/** What a program says of the heap that it wants. */
export interface ProgramHeapOptions extends Pick<HeapOptions, 'frames' | 'policy' | 'keyBytes'> {
  /** Private memory for frames and tables, taken for good. */
  readonly privateBytes: number;
  /** Where sealed pages go: `shared` for the store that the image asked for, or the path of a file of the host. */
  readonly store?: string;
  /** Bytes of the store, a little more than what the heap is to hold. For `shared`, all that is left unless told. */
  readonly storeBytes?: number;
  /**
   * Lets the host ask for a smaller cache, down to so many frames, and a larger one. Without it the host has no say:
   * with few frames it sees more of which pages are used.
   */
  readonly leastFrames?: number;
  /** How many frames to keep free between tasks, for a program that answers one after another. None unless told. */
  readonly freeFrames?: number;
}

/** Makes a heap for the program's data, on this thread alone; see {@link sharedHeap} for several. */
export function createHeap(options: ProgramHeapOptions): SecureHeap {
  const region = takePrivateMemory(checkPrivate(options));
  const memory = memoryAt(region.address, options.privateBytes);
  return prepare(
    SecureHeap.create(memory, openStore(memory, options, place(options), true), options),
    options,
    true,
  );
}

/** Words of the page before a heap that threads share. */
const LOCK = 0;
const IS_MADE = 1;
/** Where its part of the shared store begins, in pages, and how many it has. */
const STORE_START = 2;
const STORE_PAGES = 3;

/**
 * The heap of that name, the same on every thread: the first to ask makes it, and later ones must ask for as much.
 * Pointers and containers belong to the thread that made them; addresses may be handed on.
 */
export function sharedHeap(name: string, options: ProgramHeapOptions): SecureHeap {
  const region = sharedRegion(name, PAGE_BYTES + checkPrivate(options));
  const memory = memoryAt(region.address + PAGE_BYTES, options.privateBytes);
  const words = new Int32Array(region.bytes.buffer, region.bytes.byteOffset, STORE_PAGES + 1);
  lock(words, LOCK);
  try {
    if (words[STORE_PAGES] === 0) {
      const { start, bytes } = place(options);
      words[STORE_START] = start / PAGE_BYTES;
      words[STORE_PAGES] = bytes / PAGE_BYTES;
    }
    const placed = { start: words[STORE_START]! * PAGE_BYTES, bytes: words[STORE_PAGES]! * PAGE_BYTES };
    const isFirst = words[IS_MADE] === 0;
    const store = openStore(memory, options, placed, isFirst);
    const heap = isFirst ? SecureHeap.create(memory, store, options) : SecureHeap.attach(memory, store);
    prepare(heap, options, isFirst);
    heap.share();
    words[IS_MADE] = 1;
    return heap;
  } finally {
    unlock(words, LOCK);
  }
}

/** The host resizes a heap through the thread that made it; each thread evicts between its own tasks. */
function prepare(heap: SecureHeap, options: ProgramHeapOptions, isFirst: boolean): SecureHeap {
  if (isFirst && options.leastFrames !== undefined) letHostResize(heap, options.leastFrames);
  if (options.freeFrames !== undefined) heap.keepFree(options.freeFrames);
  return heap;
}

function checkPrivate({ privateBytes }: ProgramHeapOptions): number {
  if (Number.isSafeInteger(privateBytes) && privateBytes > 0 && privateBytes % PAGE_BYTES === 0) {
    return privateBytes;
  }
  throw new InvalidArgumentError(
    `privateBytes is a multiple of ${PAGE_BYTES}, not ${privateBytes}; memory.privateBytesFor counts them`,
  );
}

/** A heap counts its offsets from its own beginning. */
function memoryAt(address: number, bytes: number): MappedMemory {
  return { address, buffer: viewOf(address, bytes) };
}

function place({ store = 'shared', storeBytes }: ProgramHeapOptions): { start: number; bytes: number } {
  if (store === 'shared') return takeStore(storeBytes);
  if (storeBytes === undefined) throw new InvalidArgumentError('a store in a file needs storeBytes');
  return { start: 0, bytes: Math.ceil(storeBytes / PAGE_BYTES) * PAGE_BYTES };
}

function openStore(
  memory: MappedMemory,
  { store = 'shared' }: ProgramHeapOptions,
  { start, bytes }: { start: number; bytes: number },
  isFirst: boolean,
): BackingStore {
  if (store === 'shared') return new SharedMemoryStore(memory, storeAt(start, bytes));
  const file = new HostFile(openHostFile(store, isFirst ? 'w+' : 'r+', { mode: 0o600 }));
  return new FileStore(memory, bytes, file, STORE_BATCH_PAGES);
}
