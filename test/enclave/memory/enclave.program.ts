import { currentThread, memory } from '../../../src/enclave.ts';

/** A program with data in secure memory, as a test asks for it. */
const PAGE = 4096;

let heap: memory.SecureHeap | undefined;
let block: memory.SecurePointer | undefined;

export function make(options: memory.ProgramHeapOptions): number {
  heap = memory.createHeap(options);
  return heap.bytes;
}

/** Makes or joins the heap of that name on this thread. */
export function join(name: string, options: memory.ProgramHeapOptions): void {
  heap = memory.sharedHeap(name, options);
}

/** A block of so many bytes; the address by which another thread finds it. */
export function allocate(bytes: number): number {
  block = madeHeap().alloc(bytes);
  return block.address;
}

export function find(address: number): void {
  block = madeHeap().pointer(address);
}

/** Writes the number of each page into it, `stride` pages apart. */
export function fill(stride: number, first = 0): void {
  const { pages, pointer } = madeBlock();
  for (let page = first; page < pages; page += stride) pointer.setFloat64(page * PAGE, page + 1);
  pointer.unlink();
}

/** The first page that does not say its number, or -1. */
export function findWrong(stride: number, first = 0): number {
  const { pages, pointer } = madeBlock();
  for (let page = first; page < pages; page += stride) {
    if (pointer.getFloat64(page * PAGE) !== page + 1) return page;
  }
  pointer.unlink();
  return -1;
}

export function read(page: number): number {
  return madeBlock().pointer.getFloat64(page * PAGE);
}

/** Adds to a counter of this thread in each page of the block, again and again, while others do the same. */
export function count(rounds: number): number {
  const { pages, pointer } = madeBlock();
  const at = currentThread().index * 8;
  for (let round = 0; round < rounds; round++) {
    const offset = ((round * 7) % pages) * PAGE + at;
    pointer.setFloat64(offset, pointer.getFloat64(offset) + 1);
  }
  let sum = 0;
  for (let page = 0; page < pages; page++) sum += pointer.getFloat64(page * PAGE + at);
  pointer.unlink();
  return sum;
}

/** Sends everything out of the cache. */
export function evict(): void {
  madeBlock().pointer.unlink();
  madeHeap().reclaim(madeHeap().frameCount);
}

export function resize(frames: number): number {
  return madeHeap().resize(frames);
}

export function counters(): memory.MemoryCounters {
  return madeHeap().counters();
}

/** Every container on one heap, against what JavaScript itself would hold. */
export function useContainers(): Record<string, boolean> {
  const own = madeHeap();
  const words = new memory.SecureArray(own, 'f64', 20_000);
  for (let index = 0; index < words.length; index++) words.set(index, (index * 7919) % 20_011);
  memory.sort(words);
  let sorted = true;
  for (let index = 1; index < words.length; index++) sorted &&= words.get(index - 1) <= words.get(index);
  const map = new memory.SecureMap(own, { keys: 'string' });
  const numbers = new memory.SecureNumberMap(own, 8);
  const value = new Uint8Array(8);
  for (let key = 0; key < 2000; key++) {
    map.set(`key ${key}`, value.fill(key));
    numbers.set(key, value);
  }
  const found = map.get('key 77');
  const blob = new memory.SecureBlob(own);
  blob.append(new Uint8Array(100_000).fill(5));
  return {
    sorted,
    map: map.size === 2000 && found?.[0] === 77 && map.get('key 2000') === undefined,
    numbers: numbers.get(1999, value) && value[0] === 1999 % 256,
    blob: blob.length === 100_000,
  };
}

function madeHeap(): memory.SecureHeap {
  if (heap === undefined) throw new Error('make a heap first');
  return heap;
}

function madeBlock(): { pages: number; pointer: memory.SecurePointer } {
  if (block === undefined) throw new Error('allocate first');
  return { pages: Math.floor(block.length / PAGE), pointer: block };
}
