import { cpus } from 'node:os';
import type { SecureHeap } from '../../enclave/memory/heap.ts';
import type { SecurePointer } from '../../enclave/memory/pointer.ts';
import { PAGE_BYTES, STORE_SLOT_BYTES } from '../../limits.ts';
import { addressOf } from '../../linux/ffi.ts';
import { copyMemory } from '../../linux/memory.ts';
import { createAesGcm, type MappedMemory } from '../../linux/openssl.ts';
import {
  createHeap,
  EXTENT_BYTES,
  MEBIBYTE,
  nextRandom,
  type OwnedHeap,
  type Row,
  round,
  type Scale,
  sink,
} from './support.ts';

/** What an EPC fault costs the application (Eleos, 2.3). */
const HARDWARE_FAULT_CYCLES = 40_000;

/** Faults over stores of several sizes, each measured in turn with the others and with its floor. */
export function* storeRows(scale: Scale): Iterable<Row> {
  // The first store and its cache stay in the processor's own caches, so its rows show the work of a fault itself.
  const sizes = [
    { cacheMib: 1, storeMib: 8 },
    ...scale.storesMib.map((storeMib) => ({ cacheMib: scale.cacheMib, storeMib })),
  ];
  const works = sizes.map(({ cacheMib, storeMib }) => new FaultWork(cacheMib, storeMib));
  try {
    for (let turn = 0; turn <= scale.rounds; turn++) for (const work of works) work.measure();
    const first = works[1]!.median('clean');
    for (const work of works) yield* faultRows(work, first);
  } finally {
    for (const work of works) work[Symbol.dispose]();
  }
}

function* faultRows(work: FaultWork, first: number): Iterable<Row> {
  const clockMhz = cpus()[0]?.speed || 2600;
  const hardware = (HARDWARE_FAULT_CYCLES / clockMhz) * 1000;
  const size = { store_mib: work.storeMib, cache_mib: work.cacheMib };
  for (const kind of ['clean', 'dirty'] as const) {
    const fault = work.median(kind);
    const floor = work.median('open') + (kind === 'dirty' ? work.median('seal') : 0);
    yield {
      what: `fault-${kind}`,
      ...size,
      fault_ns: round(fault, 0),
      floor_ns: round(floor, 0),
      floor_ratio: round(fault / floor),
      hardware_fault_ns: round(hardware, 0),
      clock_mhz: clockMhz,
      hardware_ratio: round(hardware / fault),
      ...(kind === 'clean' ? { against_first_ratio: round(fault / first) } : {}),
    };
  }
  const page = work.median('sequential');
  yield {
    what: 'sequential-read',
    ...size,
    page_ns: round(page, 0),
    mib_per_second: round(PAGE_BYTES / MEBIBYTE / (page / 1e9), 0),
  };
}

const FAULTS_AT_ONCE = 8192;

/** A heap and its floor; each call of `measure` is one round. */
class FaultWork implements Disposable {
  readonly cacheMib: number;
  readonly storeMib: number;
  readonly #owned: OwnedHeap;
  readonly #block: SecurePointer;
  readonly #pages: number;
  readonly #floor: Floor;
  readonly #samples = {
    clean: [] as number[],
    dirty: [] as number[],
    open: [] as number[],
    seal: [] as number[],
    sequential: [] as number[],
  };
  #state = 1;
  #next = 0;

  constructor(cacheMib: number, storeMib: number) {
    this.cacheMib = cacheMib;
    this.storeMib = storeMib;
    this.#owned = createHeap(cacheMib, storeMib);
    this.#pages = (storeMib * MEBIBYTE) / PAGE_BYTES;
    this.#block = this.#owned.heap.alloc(this.#pages * PAGE_BYTES);
    for (let page = 0; page < this.#pages; page++) this.#block.setFloat64(page * PAGE_BYTES, page);
    this.#floor = new Floor(cacheMib, storeMib);
  }

  /** The first round is warm-up and not counted. */
  median(name: 'clean' | 'dirty' | 'open' | 'seal' | 'sequential'): number {
    const samples = this.#samples[name].slice(1).sort((a, b) => a - b);
    return samples[samples.length >> 1]!;
  }

  measure(): void {
    const { heap } = this.#owned;
    settle(heap, this.#block, this.#reads);
    this.#samples.clean.push(this.#perFault(this.#reads));
    this.#samples.open.push(this.#floor.open(FAULTS_AT_ONCE));
    settle(heap, this.#block, this.#writes);
    this.#samples.dirty.push(this.#perFault(this.#writes));
    this.#samples.seal.push(this.#floor.seal(FAULTS_AT_ONCE));
    settle(heap, this.#block, this.#reads);
    const started = performance.now();
    for (let count = 0; count < FAULTS_AT_ONCE; count++) {
      this.#next = (this.#next + 1) % this.#pages;
      sink[0]! += this.#block.getFloat64(this.#next * PAGE_BYTES);
    }
    this.#samples.sequential.push(((performance.now() - started) * 1e6) / FAULTS_AT_ONCE);
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }

  readonly #reads = (operations: number): void => {
    for (let count = 0; count < operations; count++) {
      this.#state = nextRandom(this.#state);
      sink[0]! += this.#block.getFloat64(((this.#state >> 3) % this.#pages) * PAGE_BYTES);
    }
  };

  readonly #writes = (operations: number): void => {
    for (let count = 0; count < operations; count++) {
      this.#state = nextRandom(this.#state);
      this.#block.setFloat64(((this.#state >> 3) % this.#pages) * PAGE_BYTES, count);
    }
  };

  /** Time per fault, not per access: what was in the cache is not a fault. */
  #perFault(work: (operations: number) => void): number {
    const { heap } = this.#owned;
    const before = heap.counters().majorFaults;
    const started = performance.now();
    work(FAULTS_AT_ONCE);
    return ((performance.now() - started) * 1e6) / (heap.counters().majorFaults - before);
  }
}

/** Fills the cache with pages that are all clean, or all dirty. */
function settle(heap: SecureHeap, block: SecurePointer, work: (operations: number) => void): void {
  block.unlink();
  heap.reclaim(heap.frameCount);
  work(heap.frameCount * 2);
}

/** The bare cipher and a copy, over as much memory as the heap: what no page fault can be faster than. */
class Floor {
  readonly #memory: MappedMemory;
  readonly #extents: Uint8Array<SharedArrayBuffer>[] = [];
  readonly #addresses: number[] = [];
  readonly #frames: number;
  readonly #slots: number;
  #state = 1;

  constructor(cacheMib: number, storeMib: number) {
    const buffer = new ArrayBuffer((cacheMib + 1) * MEBIBYTE);
    this.#memory = { address: addressOf(new Uint8Array(buffer)), buffer };
    this.#frames = (cacheMib * MEBIBYTE) / PAGE_BYTES;
    this.#slots = Math.floor(EXTENT_BYTES / STORE_SLOT_BYTES);
    const cipher = createAesGcm(this.#memory, 16);
    cipher.setKey(0);
    cipher.seal(64, 16_384, PAGE_BYTES, 4096, 4096 + PAGE_BYTES);
    // More than the processor's caches hold is enough to be as far away as any.
    for (let mib = 0; mib < Math.min(storeMib, 512); mib += EXTENT_BYTES / MEBIBYTE) {
      const extent = new Uint8Array(new SharedArrayBuffer(EXTENT_BYTES));
      this.#extents.push(extent);
      this.#addresses.push(addressOf(extent));
      const slots = Math.min(this.#slots, (storeMib * MEBIBYTE) / PAGE_BYTES);
      for (let slot = 0; slot < slots; slot++) {
        copyMemory(
          addressOf(extent) + slot * STORE_SLOT_BYTES,
          this.#memory.address + 4096,
          STORE_SLOT_BYTES,
        );
      }
      this.#slots = slots;
    }
    cipher.close();
  }

  /** Nanoseconds to copy a sealed page in and open it. */
  open(operations: number): number {
    return this.#time(operations, (cipher, slot, frame) => {
      copyMemory(this.#memory.address + 4096, slot, PAGE_BYTES + 16);
      cipher.open(64, 4096, PAGE_BYTES, frame, 4096 + PAGE_BYTES);
    });
  }

  /** Nanoseconds to seal a page and copy it out. The slots keep a page that opens. */
  seal(operations: number): number {
    const target = new Uint8Array(new SharedArrayBuffer(EXTENT_BYTES));
    const base = addressOf(target);
    const nanoseconds = this.#time(operations, (cipher, slot, frame) => {
      cipher.seal(64, frame, PAGE_BYTES, 4096, 4096 + PAGE_BYTES);
      copyMemory(base + (slot % 4000) * STORE_SLOT_BYTES, this.#memory.address + 4096, PAGE_BYTES + 16);
    });
    sink[0]! += target[0]!;
    return nanoseconds;
  }

  #time(
    operations: number,
    work: (cipher: ReturnType<typeof createAesGcm>, slot: number, frame: number) => void,
  ): number {
    const cipher = createAesGcm(this.#memory, 16);
    cipher.setKey(0);
    const started = performance.now();
    for (let count = 0; count < operations; count++) {
      this.#state = nextRandom(this.#state);
      const extent = this.#addresses[(this.#state >> 3) % this.#addresses.length]!;
      this.#state = nextRandom(this.#state);
      const slot = extent + ((this.#state >> 3) % this.#slots) * STORE_SLOT_BYTES;
      work(cipher, slot, 16_384 + ((this.#state >> 7) % this.#frames) * PAGE_BYTES);
    }
    const nanoseconds = ((performance.now() - started) * 1e6) / operations;
    cipher.close();
    return nanoseconds;
  }
}
