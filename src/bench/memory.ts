import { cpus } from 'node:os';
import { SecureArray } from '../enclave/memory/array.ts';
import { SecureHeap } from '../enclave/memory/heap.ts';
import { hashJoin } from '../enclave/memory/join.ts';
import { privateBytesFor } from '../enclave/memory/layout.ts';
import type { SecurePointer } from '../enclave/memory/pointer.ts';
import { POLICIES, type PolicyName } from '../enclave/memory/policy.ts';
import { sort } from '../enclave/memory/sort.ts';
import { SharedMemoryStore } from '../enclave/memory/store.ts';
import { PAGE_BYTES, STORE_SLOT_BYTES } from '../limits.ts';
import { addressOf } from '../linux/ffi.ts';
import { copyMemory, createSecretMemory, unmap } from '../linux/memory.ts';
import { createAesGcm, type MappedMemory } from '../linux/openssl.ts';

type Row = Record<string, number | string | boolean>;

const MEBIBYTE = 2 ** 20;
const EXTENT_BYTES = 16 * MEBIBYTE;
/** What an EPC fault costs the application (Eleos, 2.3). */
const HARDWARE_FAULT_CYCLES = 40_000;

/** What the suite is run with: sizes in MiB. */
interface Scale {
  readonly rounds: number;
  readonly cacheMib: number;
  readonly storesMib: readonly number[];
  readonly workMib: number;
  readonly workCacheMib: number;
  readonly traceSteps: number;
}

const FULL: Scale = {
  rounds: 7,
  cacheMib: 64,
  storesMib: [200, 1024, 4096],
  workMib: 512,
  workCacheMib: 64,
  traceSteps: 400_000,
};
const QUICK: Scale = {
  rounds: 3,
  cacheMib: 16,
  storesMib: [64, 256],
  workMib: 32,
  workCacheMib: 4,
  traceSteps: 60_000,
};

/**
 * Measures secure memory against what bounds it: plain typed arrays where nothing faults, and the bare cipher with a
 * copy where something does. What is compared is measured in turns, and medians are given.
 */
export async function memorySuite(options: {
  quick?: boolean;
  onProgress?: (line: string) => void;
}): Promise<{ suite: 'memory'; rows: Row[] }> {
  const scale = options.quick === true ? QUICK : FULL;
  const rows: Row[] = [];
  const parts: ((scale: Scale) => Iterable<Row>)[] = [hitRows, storeRows, subPageRows, traceRows, workRows];
  for (const part of parts) {
    for (const row of part(scale)) {
      rows.push(row);
      options.onProgress?.(
        Object.entries(row)
          .map((field) => field.join(' '))
          .join('  '),
      );
      // Gives the caller's own tasks a turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return { suite: 'memory', rows };
}

/** A function is compiled after some calls, not within a long one. */
const WARM_UP_TURNS = 20;

/** Nanoseconds per operation of each way, measured in turns. */
function medians<W extends string>(
  rounds: number,
  operations: number,
  ways: Record<W, (operations: number) => void>,
): Record<W, number> {
  const times = {} as Record<W, number[]>;
  const names = Object.keys(ways) as W[];
  for (const name of names) {
    for (let turn = 0; turn < WARM_UP_TURNS; turn++) ways[name](Math.ceil(operations / WARM_UP_TURNS));
    times[name] = [];
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const started = performance.now();
      ways[name](operations);
      times[name].push(((performance.now() - started) * 1e6) / operations);
    }
  }
  const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
  return Object.fromEntries(names.map((name) => [name, middle(times[name])])) as Record<W, number>;
}

/** Secret memory where there may be so much of it, else ordinary memory. */
function withPrivateMemory<T>(bytes: number, work: (memory: MappedMemory) => T): T {
  let secret: MappedMemory;
  try {
    secret = createSecretMemory(bytes);
  } catch {
    const buffer = new ArrayBuffer(bytes);
    return work({ address: addressOf(new Uint8Array(buffer)), buffer });
  }
  try {
    return work(secret);
  } finally {
    unmap(secret.address, bytes);
  }
}

function withHeap<T>(
  cacheMib: number,
  storeMib: number,
  work: (heap: SecureHeap) => T,
  policy?: PolicyName,
): T {
  const storeBytes = Math.ceil((storeMib * MEBIBYTE * 1.02) / STORE_SLOT_BYTES) * STORE_SLOT_BYTES + MEBIBYTE;
  const frames = (cacheMib * MEBIBYTE) / PAGE_BYTES;
  return withPrivateMemory(privateBytesFor(frames, storeBytes), (memory) => {
    const extents: Uint8Array<SharedArrayBuffer>[] = [];
    const store = new SharedMemoryStore(memory, storeBytes, EXTENT_BYTES, (index) => {
      extents[index] ??= new Uint8Array(new SharedArrayBuffer(EXTENT_BYTES));
      return extents[index];
    });
    using heap = SecureHeap.create(memory, store, policy === undefined ? { frames } : { frames, policy });
    return work(heap);
  });
}

/** A generator of whole numbers below 2^31 that costs next to nothing. */
function nextRandom(state: number): number {
  return (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
}

const round = (value: number, digits: number = 3): number => Number(value.toFixed(digits));

/** Where results go, so that no loop is found to be useless. */
const sink = new Float64Array(1);

/** Items of a page at random places, read and written: linked pointers against typed arrays. */
function* hitRows({ rounds }: Scale): Iterable<Row> {
  for (const bytes of [16, 256, 2048, 4096]) {
    const times = withHeap(1, 4, (heap) =>
      medians(rounds * 5, Math.ceil(4e6 / bytes), itemLoops(heap, bytes)),
    );
    yield hit('hit-read', bytes, times.readPlain, times.readLinked);
    yield hit('hit-write', bytes, times.writePlain, times.writeLinked);
  }
  yield withHeap(1, 4, (heap) => elementRow(heap, rounds));
}

function hit(what: string, bytes: number, plain: number, linked: number): Row {
  return { what, bytes, plain_ns: round(plain), linked_ns: round(linked), ratio: round(linked / plain) };
}

/** Loops over items of so many bytes, each function made anew so that each is compiled for its own case. */
function itemLoops(
  heap: SecureHeap,
  bytes: number,
): Record<'readPlain' | 'readLinked' | 'writePlain' | 'writeLinked', (operations: number) => void> {
  const pointer = heap.alloc(PAGE_BYTES);
  const frames = new Float64Array(heap.frames.buffer, heap.frames.byteOffset, heap.frames.length / 8);
  const plain = new Float64Array(PAGE_BYTES / 8);
  const mask = PAGE_BYTES / bytes - 1;
  const words = bytes / 8;
  return {
    readPlain(operations) {
      let sum = 0;
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = ((state >> 8) & mask) * words;
        for (let word = at; word < at + words; word++) sum += plain[word]!;
      }
      sink[0]! += sum;
    },
    readLinked(operations) {
      let sum = 0;
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = pointer.locate(((state >> 8) & mask) * bytes, bytes) >> 3;
        for (let word = at; word < at + words; word++) sum += frames[word]!;
      }
      sink[0]! += sum;
    },
    writePlain(operations) {
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = ((state >> 8) & mask) * words;
        for (let word = at; word < at + words; word++) plain[word] = count;
      }
    },
    writeLinked(operations) {
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = pointer.locateToWrite(((state >> 8) & mask) * bytes, bytes) >> 3;
        for (let word = at; word < at + words; word++) frames[word] = count;
      }
    },
  };
}

/** One element at a time, in sequence: by chunks, by the accessors, and moving to another page every time. */
function elementRow(heap: SecureHeap, rounds: number): Row {
  const plain = new Float64Array(16 * 512);
  const array = new SecureArray(heap, 'f64', plain.length);
  const pages = heap.alloc(64 * PAGE_BYTES);
  pages.fill(1);
  const mask = plain.length - 1;
  const times = medians(rounds * 5, plain.length * 32, {
    plain(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count++) sum += plain[count & mask]!;
      sink[0]! += sum;
    },
    chunks(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count += plain.length) {
        for (const chunk of array.chunks()) {
          for (let index = 0; index < chunk.length; index++) sum += chunk[index]!;
        }
      }
      sink[0]! += sum;
    },
    array(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count++) sum += array.get(count & mask);
      sink[0]! += sum;
    },
    pointer(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count++) sum += pages.getFloat64((count & mask) * 8);
      sink[0]! += sum;
    },
    relinked(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count++) sum += pages.getFloat64((count & 63) * PAGE_BYTES);
      sink[0]! += sum;
    },
  });
  return {
    what: 'element-read',
    plain_ns: round(times.plain),
    chunks_ns: round(times.chunks),
    chunks_ratio: round(times.chunks / times.plain),
    array_ns: round(times.array),
    array_ratio: round(times.array / times.plain),
    pointer_ns: round(times.pointer),
    pointer_ratio: round(times.pointer / times.plain),
    minor_fault_ns: round(times.relinked, 1),
  };
}

/** Faults over stores of several sizes: at random, read and written, and in sequence. */
function* storeRows(scale: Scale): Iterable<Row> {
  const clockMhz = cpus()[0]?.speed || 2600;
  let first = 0;
  // The small store and cache stay in the processor's own caches, so that its row shows the work of a fault itself.
  for (const storeMib of [8, ...scale.storesMib]) {
    const cacheMib = storeMib === 8 ? 1 : scale.cacheMib;
    const { faults, sequential } = measureStore(scale.rounds, cacheMib, storeMib);
    if (storeMib === scale.storesMib[0]) first = faults.clean;
    const hardware = (HARDWARE_FAULT_CYCLES / clockMhz) * 1000;
    for (const kind of ['clean', 'dirty'] as const) {
      const floor = kind === 'clean' ? faults.open : faults.open + faults.seal;
      yield {
        what: `fault-${kind}`,
        store_mib: storeMib,
        cache_mib: cacheMib,
        fault_ns: round(faults[kind], 0),
        floor_ns: round(floor, 0),
        floor_ratio: round(faults[kind] / floor),
        hardware_fault_ns: round(hardware, 0),
        clock_mhz: clockMhz,
        hardware_ratio: round(hardware / faults[kind]),
        ...(first > 0 && kind === 'clean' ? { against_first_ratio: round(faults.clean / first) } : {}),
      };
    }
    yield {
      what: 'sequential-read',
      store_mib: storeMib,
      cache_mib: cacheMib,
      page_ns: round(sequential, 0),
      mib_per_second: round(PAGE_BYTES / 1024 / 1024 / (sequential / 1e9), 0),
    };
  }
}

interface StoreTimes {
  faults: { clean: number; dirty: number; open: number; seal: number };
  sequential: number;
}

function measureStore(rounds: number, cacheMib: number, storeMib: number): StoreTimes {
  return withHeap(cacheMib, storeMib, (heap) => {
    const pages = (storeMib * MEBIBYTE) / PAGE_BYTES;
    const block = heap.alloc(pages * PAGE_BYTES);
    for (let page = 0; page < pages; page++) block.setFloat64(page * PAGE_BYTES, page);
    const floor = new Floor(cacheMib, storeMib);
    let state = 1;
    const visit = (access: (page: number) => void) => (operations: number) => {
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        access((state >> 3) % pages);
      }
    };
    const reads = visit((page) => {
      sink[0]! += block.getFloat64(page * PAGE_BYTES);
    });
    const writes = visit((page) => block.setFloat64(page * PAGE_BYTES, page));
    const operations = 20_000;
    // Time is per fault, not per access: what was in the cache is not a fault.
    const perFault = (work: (operations: number) => void): number => {
      const before = heap.counters().majorFaults;
      const started = performance.now();
      work(operations);
      return ((performance.now() - started) * 1e6) / (heap.counters().majorFaults - before);
    };
    const samples = {
      clean: [] as number[],
      dirty: [] as number[],
      open: [] as number[],
      seal: [] as number[],
    };
    for (let round = 0; round <= rounds; round++) {
      settle(heap, block, reads);
      samples.clean.push(perFault(reads));
      samples.open.push(floor.open(operations));
      settle(heap, block, writes);
      samples.dirty.push(perFault(writes));
      samples.seal.push(floor.seal(operations));
    }
    const middle = (values: number[]) => values.slice(1).sort((a, b) => a - b)[rounds >> 1]!;
    const sequential = medians(1, Math.min(pages, 100_000), {
      read(count) {
        for (let page = 0; page < count; page++) sink[0]! += block.getFloat64(page * PAGE_BYTES);
      },
    });
    return {
      faults: {
        clean: middle(samples.clean),
        dirty: middle(samples.dirty),
        open: middle(samples.open),
        seal: middle(samples.seal),
      },
      sequential: sequential.read,
    };
  });
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

/** Reads at random places with a quarter of them in the cache, as in Eleos' table 3: past the cache and through it. */
function* subPageRows({ rounds }: Scale): Iterable<Row> {
  for (const bytes of [16, 256, 1024, 2048, 4096]) {
    const times = withHeap(4, 16, (sparseHeap) =>
      withHeap(4, 16, (heap) => {
        const sparse = sparseHeap.alloc(16 * MEBIBYTE, { sparse: true });
        const whole = heap.alloc(16 * MEBIBYTE);
        sparse.fill(1);
        whole.fill(1);
        const target = new Uint8Array(bytes);
        const items = (16 * MEBIBYTE) / bytes;
        const reader = (pointer: SecurePointer) => (operations: number) => {
          let state = 7;
          for (let count = 0; count < operations; count++) {
            state = nextRandom(state);
            pointer.read(((state >> 3) % items) * bytes, target);
          }
        };
        return medians(rounds, 20_000, { direct: reader(sparse), cached: reader(whole) });
      }),
    );
    yield {
      what: 'sub-page-read',
      bytes,
      direct_ns: round(times.direct, 0),
      cached_ns: round(times.cached, 0),
      gain_ratio: round(times.cached / times.direct),
    };
  }
}

const TRACE_FRAMES = 256;
const TRACE_PAGES = 4096;

/** Page numbers of the known kinds of work, for a cache of a sixteenth of the pages. */
function traces(steps: number): Record<string, Int32Array> {
  const zipf = zipfian(TRACE_PAGES, 0.99);
  const build = (page: (step: number) => number) =>
    Int32Array.from({ length: steps }, (_, step) => page(step));
  return {
    zipf: build(zipf),
    scan: build((step) => step % TRACE_PAGES),
    loop: build((step) => step % (TRACE_FRAMES * 1.2)),
    // Popular pages, with a scan over all of them in every fifth stretch.
    mixed: build((step) => (Math.floor(step / 2000) % 5 === 4 ? (step * 7) % TRACE_PAGES : zipf())),
  };
}

/** Pages with the popularity of Zipf's law, the popular ones spread over all of them. */
function zipfian(pages: number, exponent: number): () => number {
  const sums = new Float64Array(pages);
  let sum = 0;
  for (let rank = 0; rank < pages; rank++) {
    sum += 1 / (rank + 1) ** exponent;
    sums[rank] = sum;
  }
  let state = 12_345;
  return () => {
    state = nextRandom(state);
    const wanted = (state / 2 ** 31) * sum;
    let low = 0;
    for (let step = pages >> 1; step > 0; step >>= 1) {
      if (sums[low + step - 1]! < wanted) low += step;
    }
    return (low * 1663) % pages;
  };
}

function* traceRows({ traceSteps }: Scale): Iterable<Row> {
  for (const [trace, pages] of Object.entries(traces(traceSteps))) {
    const row: Row = { what: 'hit-ratio', trace, frames: TRACE_FRAMES, pages: TRACE_PAGES };
    for (const policy of POLICIES) {
      row[`${policy.replace('-', '_')}_hit_ratio`] = withHeap(
        1,
        16,
        (heap) => traceHits(heap, pages),
        policy,
      );
    }
    yield row;
  }
}

function traceHits(heap: SecureHeap, pages: Int32Array): number {
  const block = heap.alloc(TRACE_PAGES * PAGE_BYTES);
  for (let page = 0; page < TRACE_PAGES; page++) block.setUint8(page * PAGE_BYTES, 1);
  const before = heap.counters();
  // Every access links anew: a page that stays linked would not be counted.
  for (const page of pages) {
    sink[0]! += block.getUint8(page * PAGE_BYTES);
    block.unlink();
  }
  const after = heap.counters();
  // What was read ahead was used, but the policy did not keep it.
  const hits = after.minorFaults - before.minorFaults - (after.readAheadHits - before.readAheadHits);
  return round(hits / pages.length);
}

/** A sort and a join of more than private memory holds, against the same on typed arrays that all fit. */
function* workRows(scale: Scale): Iterable<Row> {
  const elements = (scale.workMib * MEBIBYTE) / 8;
  const common = { data_mib: scale.workMib, cache_mib: scale.workCacheMib };
  const sorted = withHeap(scale.workCacheMib, scale.workMib * 2.1, (heap) => sortTimes(heap, elements));
  yield { what: 'sort', ...common, ...sorted };
  const joined = withHeap(scale.workCacheMib, scale.workMib * 2.1, (heap) => joinTimes(heap, elements));
  yield { what: 'hash-join', ...common, ...joined };
}

function milliseconds(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

function sortTimes(heap: SecureHeap, elements: number): Row {
  const array = new SecureArray(heap, 'f64', elements);
  const piece = new Float64Array(4096);
  let state = 3;
  for (let from = 0; from < elements; from += piece.length) {
    for (let index = 0; index < piece.length; index++) {
      state = nextRandom(state);
      piece[index] = state;
    }
    array.write(from, piece);
  }
  const plain = new Float64Array(elements);
  for (let index = 0; index < elements; index += piece.length) {
    array.read(index, plain.subarray(index, index + piece.length));
  }
  const secure = milliseconds(() => sort(array));
  const direct = milliseconds(() => plain.sort());
  let index = 0;
  let equal = true;
  for (const chunk of array.chunks()) {
    for (const value of chunk) equal = equal && value === plain[index++];
  }
  return {
    secure_ms: round(secure, 0),
    plain_ms: round(direct, 0),
    slowdown_ratio: round(secure / direct),
    equal,
  };
}

/** A side of a quarter of the rows, joined with one of three quarters. */
function joinTimes(heap: SecureHeap, elements: number): Row {
  const buildRows = elements / 8;
  const probeRows = (elements * 3) / 8;
  const build = new SecureArray(heap, 'f64', buildRows * 2);
  const probe = new SecureArray(heap, 'f64', probeRows * 2);
  for (let row = 0; row < buildRows; row++) {
    build.set(row * 2, row * 3);
    build.set(row * 2 + 1, row);
  }
  let state = 5;
  for (let row = 0; row < probeRows; row++) {
    state = nextRandom(state);
    probe.set(row * 2, state % (buildRows * 3));
    probe.set(row * 2 + 1, row);
  }
  let secureSum = 0;
  let plainSum = 0;
  let rows = 0;
  const secure = milliseconds(() => {
    rows = hashJoin(build, probe, (_key, built, probed) => {
      secureSum += built ^ probed;
    });
  });
  const plainBuild = Float64Array.from(build);
  const plainProbe = Float64Array.from(probe);
  const direct = milliseconds(() => {
    const table = new Map<number, number>();
    for (let at = 0; at < plainBuild.length; at += 2) table.set(plainBuild[at]!, plainBuild[at + 1]!);
    for (let at = 0; at < plainProbe.length; at += 2) {
      const built = table.get(plainProbe[at]!);
      if (built !== undefined) plainSum += built ^ plainProbe[at + 1]!;
    }
  });
  return {
    secure_ms: round(secure, 0),
    plain_ms: round(direct, 0),
    slowdown_ratio: round(secure / direct),
    rows,
    equal: secureSum === plainSum,
  };
}
