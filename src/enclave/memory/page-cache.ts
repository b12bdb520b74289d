import { MemoryError, PageTamperedError } from '../../errors.ts';
import { PAGE_BYTES, STORE_BATCH_PAGES, STORE_SLOT_BYTES, SUB_PAGE_BYTES } from '../../limits.ts';
import type { MappedMemory } from '../../linux/openssl.ts';
import { FrameTable, Mark } from './frame-table.ts';
import { Counter, type Layout, Quantity, VERSIONS_PER_PAGE, Word } from './layout.ts';
import { lock, unlock } from './lock.ts';
import type { EvictionPolicy } from './policy.ts';
import { type PageSealer, SEALED_PAGE, SEALED_SUB_PAGE, subPagePosition } from './sealing.ts';
import type { BackingStore, Transfer } from './store.ts';

/** One fault in so many is timed: two clock readings would cost a tenth of a fault. */
const FAULTS_PER_TIMING = 64;
const PAGE_SHIFT = 12;

/** The words of each page as numbers: its version, doubled, plus one when it is sealed by sub-pages. 0: all zero. */
const versionOf = (entry: number): number => Math.floor(entry / 2);
const bySubPages = (entry: number): boolean => entry % 2 === 1;

/**
 * Pages of a store in frames of private memory (Eleos, 3.2: EPC++ and its page tables).
 *
 * The store holds table pages first, then data pages. A table page has the versions of 512 data pages and is cached,
 * sealed and evicted as they are; its own version lies in the root, which never leaves private memory (8 bytes for
 * 2 MiB of store). A table page is pinned while one of its pages is in a frame, so an eviction never faults.
 *
 * Pages are named by their number among the data pages. Whoever acquires a frame pins it until the release.
 */
export class PageCache {
  /** The frames as bytes: frame f begins at f * PAGE_BYTES. */
  readonly frames: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly layout: Layout;
  readonly #table: FrameTable;
  readonly #sealer: PageSealer;
  readonly #policy: EvictionPolicy;
  readonly #store: BackingStore;
  readonly #tablePages: number;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #quantities: Float64Array<ArrayBuffer>;
  readonly #counters: Float64Array<ArrayBuffer>;
  readonly #pageOf: Int32Array<ArrayBuffer>;
  readonly #pins: Int32Array<ArrayBuffer>;
  readonly #marks: Uint8Array<ArrayBuffer>;
  readonly #entries: Float64Array<ArrayBuffer>;
  readonly #transfers: readonly Transfer[];
  /** Frames on their way in, with the page that each gets. */
  readonly #arriving: Int32Array<ArrayBuffer> = new Int32Array(STORE_BATCH_PAGES);
  readonly #arrivingPage: Int32Array<ArrayBuffer> = new Int32Array(STORE_BATCH_PAGES);
  /** Frames on their way out, with the entry that each page will have when the store took it. */
  readonly #leaving: Int32Array<ArrayBuffer> = new Int32Array(STORE_BATCH_PAGES);
  readonly #leavingEntry: Float64Array<ArrayBuffer> = new Float64Array(STORE_BATCH_PAGES);
  /** What this thread last faulted on, to notice a sequence. A hint: losing it loses no data. */
  #lastFault = -2;
  #streak = 0;
  #locking = false;
  #few = 0;
  #onFewFree = (): void => {};

  constructor(
    memory: MappedMemory,
    layout: Layout,
    parts: { sealer: PageSealer; policy: EvictionPolicy; store: BackingStore },
  ) {
    this.layout = layout;
    this.frames = new Uint8Array(memory.buffer, layout.pool, layout.frames * PAGE_BYTES);
    this.view = new DataView(memory.buffer, layout.pool, layout.frames * PAGE_BYTES);
    this.#entries = new Float64Array(memory.buffer, layout.pool, layout.frames * VERSIONS_PER_PAGE);
    this.#sealer = parts.sealer;
    this.#policy = parts.policy;
    this.#store = parts.store;
    this.#tablePages = layout.root.length;
    this.#words = layout.words;
    this.#quantities = layout.quantities;
    this.#counters = layout.quantities.subarray(Quantity.counters);
    this.#pageOf = layout.pageOf;
    this.#pins = layout.pins;
    this.#marks = layout.marks;
    this.#table = new FrameTable(layout);
    this.#transfers = Array.from({ length: STORE_BATCH_PAGES }, () => ({ position: 0, offset: 0, bytes: 0 }));
  }

  /** Makes an empty cache of so many frames. The tables are zero. */
  format(frames: number): void {
    this.#table.format();
    this.#table.unpark(frames);
  }

  get freeFrames(): number {
    return this.#table.free;
  }

  get frameCount(): number {
    return this.#table.limit;
  }

  /** Calls back when a fault of this thread leaves fewer than so many frames free. It must not evict at once. */
  whenFewAreFree(frames: number, callback: () => void): void {
    this.#few = frames;
    this.#onFewFree = callback;
  }

  /** From now on other threads may be at work on the same private memory. */
  share(): void {
    this.#locking = true;
  }

  /** The frame of a data page, pinned and marked; faults when it is not there. */
  acquire(dataPage: number, marks: number): number {
    if (this.#locking) lock(this.#words, Word.cacheLock);
    try {
      const page = dataPage + this.#tablePages;
      let frame = this.#table.find(page);
      if (frame >= 0) this.#hit(frame);
      else frame = this.#fault(page);
      this.#marks[frame]! |= marks;
      Atomics.add(this.#pins, frame, 1);
      return frame;
    } finally {
      if (this.#locking) unlock(this.#words, Word.cacheLock);
    }
  }

  release(frame: number): void {
    Atomics.sub(this.#pins, frame, 1);
  }

  /** Marks a frame that the caller has pinned. */
  mark(frame: number, marks: number): void {
    if (this.#locking) lock(this.#words, Word.cacheLock);
    this.#marks[frame]! |= marks;
    if (this.#locking) unlock(this.#words, Word.cacheLock);
  }

  /**
   * Reads part of a page past the cache: if the page is in no frame and is sealed by sub-pages, only those that hold
   * the part are loaded and opened (Eleos, 3.2: direct access). Otherwise it is an ordinary access.
   */
  readDirect(dataPage: number, offset: number, target: Uint8Array, at: number, bytes: number): void {
    if (this.#locking) lock(this.#words, Word.cacheLock);
    try {
      const page = dataPage + this.#tablePages;
      let frame = this.#table.find(page);
      if (frame < 0) {
        const table = this.#holdTable(page);
        const entry = this.#entryOf(page, table);
        this.#pins[table]! -= 1;
        if (bySubPages(entry)) {
          this.#openPart(page, versionOf(entry), offset, target, at, bytes);
          return;
        }
        frame = this.#fault(page);
      } else {
        this.#hit(frame);
      }
      const from = frame * PAGE_BYTES + offset;
      target.set(this.frames.subarray(from, from + bytes), at);
    } finally {
      if (this.#locking) unlock(this.#words, Word.cacheLock);
    }
  }

  /** Brings data pages in before they are used, at most half a cache of them. */
  willNeed(first: number, count: number): void {
    this.#locked(() => {
      const start = first + this.#tablePages;
      const end = start + Math.min(count, this.#table.limit >> 1);
      for (let page = start; page < end; page++) {
        if (this.#table.find(page) < 0) this.#bring(page, Math.min(end - page, STORE_BATCH_PAGES));
      }
    });
  }

  /** Sends data pages out that will not be used soon; those pinned stay. */
  dontNeed(first: number, count: number): void {
    this.#locked(() => {
      const end = first + this.#tablePages + count;
      let page = first + this.#tablePages;
      const nextIdle = (): number => {
        while (page < end) {
          const frame = this.#table.find(page++);
          if (frame < 0 || this.#pins[frame] !== 0) continue;
          this.#policy.remove(frame);
          return frame;
        }
        return -1;
      };
      while (this.#evict(STORE_BATCH_PAGES, nextIdle) > 0) {}
    });
  }

  /** Makes data pages zero again and forgets what they were, in the cache and in the store. None may be pinned. */
  discard(first: number, count: number): void {
    this.#locked(() => {
      const start = first + this.#tablePages;
      const end = Math.min(first + count, this.#quantities[Quantity.touchedPages]!) + this.#tablePages;
      for (let page = start; page < end; page++) {
        const frame = this.#table.find(page);
        if (frame >= 0 && this.#pins[frame] !== 0) throw stillPinned(page - this.#tablePages);
      }
      for (let page = start; page < end; page++) {
        const frame = this.#table.find(page);
        const table = this.#holdTable(page);
        if (this.#entryOf(page, table) !== 0) this.#setEntry(page, table, 0);
        if (frame >= 0) {
          this.#policy.remove(frame);
          this.#table.drop(frame);
        }
        this.#pins[table]! -= 1;
      }
    });
  }

  /** Evicts until so many frames are free, ahead of need. Returns how many are. Call it when there is time. */
  reclaim(targetFree: number): number {
    return this.#locked(() => {
      while (this.#table.free < targetFree) {
        if (this.#evict(targetFree - this.#table.free, this.#victim) === 0) break;
      }
      return this.#table.free;
    });
  }

  /** Makes the cache larger or smaller. Returns the frames it has: more than asked while pinned ones are in the way. */
  resize(frames: number): number {
    return this.#locked(() => {
      this.#table.unpark(frames);
      while (this.#table.limit > frames) {
        const frame = this.#take();
        if (frame < 0) break;
        this.frames.fill(0, frame * PAGE_BYTES, (frame + 1) * PAGE_BYTES);
        this.#table.park(frame);
      }
      return this.#table.limit;
    });
  }

  close(): void {
    this.#sealer.close();
    this.#store.close?.();
  }

  #locked<T>(work: () => T): T {
    if (this.#locking) lock(this.#words, Word.cacheLock);
    try {
      return work();
    } finally {
      if (this.#locking) unlock(this.#words, Word.cacheLock);
    }
  }

  readonly #victim = (): number => this.#policy.victim();

  #hit(frame: number): void {
    this.#counters[Counter.hits]! += 1;
    if ((this.#marks[frame]! & Mark.ahead) === 0) {
      this.#policy.touch(frame);
    } else {
      // The first use of a page that was read ahead is what would have brought it in: not a reason to keep it.
      this.#marks[frame]! &= ~Mark.ahead;
      this.#counters[Counter.readAheadHits]! += 1;
    }
  }

  #fault(page: number): number {
    const faults = this.#counters[Counter.faults]! + 1;
    this.#counters[Counter.faults] = faults;
    const started = faults % FAULTS_PER_TIMING === 0 ? performance.now() : 0;
    this.#streak = page === this.#lastFault + 1 ? this.#streak + 1 : 0;
    const pages = this.#streak < 2 ? 1 : Math.min(2 ** this.#streak, STORE_BATCH_PAGES, this.#most());
    this.#lastFault = page;
    const frame = this.#bring(page, pages);
    if (started > 0) {
      this.#counters[Counter.timedFaults]! += 1;
      this.#counters[Counter.timedMilliseconds]! += performance.now() - started;
    }
    return frame;
  }

  /** Of a small cache, at most an eighth moves at a time. */
  #most(): number {
    return Math.max(1, this.#table.limit >> 3);
  }

  /** Brings a page into a frame, and pages after it that the store has, are not here, and share its table page. */
  #bring(page: number, pages: number): number {
    if (this.#words[Word.tampered] !== 0) throw new PageTamperedError(this.#words[Word.tampered]! - 1);
    const table = this.#holdTable(page);
    let count = 0;
    try {
      if (this.#entryOf(page, table) === 0) return this.#bringZero(page, table);
      this.#arriving[0] = this.#takeOrFail();
      this.#arrivingPage[count++] = page;
      const last = table < 0 ? page : Math.min(page + pages - 1, this.#lastOfTable(page));
      for (let ahead = page + 1; ahead <= last; ahead++) {
        if (this.#entryOf(ahead, table) === 0 || this.#table.find(ahead) >= 0) continue;
        const frame = this.#take();
        if (frame < 0) break;
        this.#arriving[count] = frame;
        this.#arrivingPage[count++] = ahead;
      }
      for (let slot = 0; slot < count; slot++) {
        const arriving = this.#arrivingPage[slot]!;
        this.#plan(slot, arriving, bySubPages(this.#entryOf(arriving, table)));
      }
      this.#store.load(this.#transfers, count);
      while (count > 0) {
        const slot = count - 1;
        this.#open(slot, table);
        this.#install(this.#arriving[slot]!, this.#arrivingPage[slot]!, table);
        if (slot > 0) this.#markAhead(this.#arriving[slot]!);
        count = slot;
      }
      return this.#arriving[0]!;
    } catch (error) {
      while (count > 0) this.#table.put(this.#arriving[--count]!);
      throw error;
    } finally {
      if (table >= 0) this.#pins[table]! -= 1;
    }
  }

  #bringZero(page: number, table: number): number {
    const frame = this.#takeOrFail();
    this.frames.fill(0, frame * PAGE_BYTES, (frame + 1) * PAGE_BYTES);
    this.#counters[Counter.zeroPages]! += 1;
    this.#install(frame, page, table);
    return frame;
  }

  #markAhead(frame: number): void {
    this.#marks[frame]! |= Mark.ahead;
    this.#counters[Counter.readAheadPages]! += 1;
    this.#lastFault = Math.max(this.#lastFault, this.#pageOf[frame]!);
  }

  /** Plans the move of a page between its slot in the store and a staging slot. */
  #plan(slot: number, page: number, sparse: boolean): void {
    const transfer = this.#transfers[slot]!;
    transfer.position = page * STORE_SLOT_BYTES;
    transfer.offset = this.layout.staging + slot * STORE_SLOT_BYTES;
    transfer.bytes = sparse ? STORE_SLOT_BYTES : SEALED_PAGE;
  }

  /** Opens the private copy of a page that was loaded; from here on the host has no hand in it. */
  #open(slot: number, table: number): void {
    const frame = this.#arriving[slot]!;
    const page = this.#arrivingPage[slot]!;
    const entry = this.#entryOf(page, table);
    const from = this.#transfers[slot]!.offset;
    const to = this.layout.pool + frame * PAGE_BYTES;
    const genuine = bySubPages(entry)
      ? this.#sealer.openSubPages(page, versionOf(entry), from, to)
      : this.#sealer.openPage(page, versionOf(entry), from, to);
    if (!genuine) throw this.#tampered(page);
    this.#counters[Counter.pagesLoaded]! += 1;
    this.#counters[Counter.openedBytes]! += PAGE_BYTES;
    this.#marks[frame] = bySubPages(entry) ? Mark.sparse : Mark.none;
  }

  #openPart(
    page: number,
    version: number,
    offset: number,
    target: Uint8Array,
    at: number,
    bytes: number,
  ): void {
    if (this.#words[Word.tampered] !== 0) throw new PageTamperedError(this.#words[Word.tampered]! - 1);
    const first = Math.floor(offset / SUB_PAGE_BYTES);
    const count = Math.floor((offset + bytes - 1) / SUB_PAGE_BYTES) - first + 1;
    const from = this.layout.staging;
    const to = from + STORE_SLOT_BYTES;
    const transfer = this.#transfers[0]!;
    transfer.position = page * STORE_SLOT_BYTES + subPagePosition(first);
    transfer.offset = from;
    transfer.bytes = count * SEALED_SUB_PAGE;
    this.#store.load(this.#transfers, 1);
    for (let index = 0; index < count; index++) {
      const here = from + subPagePosition(index);
      const there = to + index * SUB_PAGE_BYTES;
      if (!this.#sealer.openSubPage(page, first + index, version, here, there)) throw this.#tampered(page);
    }
    this.#counters[Counter.directReads]! += 1;
    this.#counters[Counter.openedBytes]! += count * SUB_PAGE_BYTES;
    const start = to + (offset - first * SUB_PAGE_BYTES);
    target.set(new Uint8Array(this.frames.buffer, start, bytes), at);
  }

  #tampered(page: number): PageTamperedError {
    this.#words[Word.tampered] = page + 1;
    return new PageTamperedError(page);
  }

  /** Sends out up to `want` frames of those that `next` gives, in one batch. When the store fails, all of them stay. */
  #evict(want: number, next: () => number): number {
    let dropped = 0;
    let sealed = 0;
    try {
      while (dropped + sealed < want && sealed < STORE_BATCH_PAGES) {
        const frame = next();
        if (frame < 0) break;
        if ((this.#marks[frame]! & Mark.dirty) !== 0) {
          this.#leaving[sealed++] = frame;
          this.#seal(sealed - 1, frame);
        } else {
          this.#table.drop(frame);
          this.#counters[Counter.cleanEvictions]! += 1;
          dropped++;
        }
      }
      if (sealed > 0) this.#store.save(this.#transfers, sealed);
    } catch (error) {
      while (sealed > 0) {
        const frame = this.#leaving[--sealed]!;
        this.#policy.insert(frame, this.#pageOf[frame]!);
      }
      throw error;
    }
    for (let slot = 0; slot < sealed; slot++) {
      const frame = this.#leaving[slot]!;
      this.#setEntry(this.#pageOf[frame]!, this.layout.tableOf[frame]!, this.#leavingEntry[slot]!);
      this.#table.drop(frame);
    }
    this.#counters[Counter.dirtyEvictions]! += sealed;
    return dropped + sealed;
  }

  #seal(slot: number, frame: number): void {
    const page = this.#pageOf[frame]!;
    const version = this.#sealer.nextVersion();
    const from = this.layout.pool + frame * PAGE_BYTES;
    const sparse = (this.#marks[frame]! & Mark.sparse) !== 0;
    this.#plan(slot, page, sparse);
    const to = this.#transfers[slot]!.offset;
    if (sparse) this.#sealer.sealSubPages(page, version, from, to);
    else this.#sealer.sealPage(page, version, from, to);
    this.#leavingEntry[slot] = version * 2 + (sparse ? 1 : 0);
    this.#counters[Counter.sealedBytes]! += PAGE_BYTES;
  }

  #install(frame: number, page: number, table: number): void {
    this.#table.install(frame, page, table);
    if (table >= 0) {
      const touched = page - this.#tablePages + 1;
      if (touched > this.#quantities[Quantity.touchedPages]!) {
        this.#quantities[Quantity.touchedPages] = touched;
      }
    }
    this.#policy.insert(frame, page);
  }

  #takeOrFail(): number {
    const frame = this.#take();
    if (frame >= 0) return frame;
    throw new MemoryError(
      'SGXIO_MEMORY_EXHAUSTED',
      `all ${this.#table.limit} frames of the page cache are pinned; unlink pointers or give it more frames`,
    );
  }

  /** A free frame, evicting if it must, or -1 when all are pinned. */
  #take(): number {
    if (this.#table.free === 0) this.#evict(Math.min(this.#store.batch, this.#most()), this.#victim);
    if (this.#table.free <= this.#few) this.#onFewFree();
    return this.#table.take();
  }

  /** The frame of the table page of a data page, pinned; -1 for a table page, whose version is in the root. */
  #holdTable(page: number): number {
    if (page < this.#tablePages) return -1;
    const tablePage = Math.floor((page - this.#tablePages) / VERSIONS_PER_PAGE);
    let table = this.#table.find(tablePage);
    if (table < 0) table = this.#bring(tablePage, 1);
    else this.#policy.touch(table);
    this.#pins[table]! += 1;
    return table;
  }

  #lastOfTable(page: number): number {
    const index = (page - this.#tablePages) % VERSIONS_PER_PAGE;
    const last = page - index + VERSIONS_PER_PAGE - 1;
    return Math.min(last, this.#tablePages + this.#quantities[Quantity.dataPages]! - 1);
  }

  #entryOf(page: number, table: number): number {
    if (table < 0) return this.layout.root[page]!;
    return this.#entries[table * VERSIONS_PER_PAGE + ((page - this.#tablePages) % VERSIONS_PER_PAGE)]!;
  }

  #setEntry(page: number, table: number, entry: number): void {
    if (table < 0) {
      this.layout.root[page] = entry;
    } else {
      this.#entries[table * VERSIONS_PER_PAGE + ((page - this.#tablePages) % VERSIONS_PER_PAGE)] = entry;
      this.#marks[table]! |= Mark.dirty;
    }
  }
}

export function pageOf(address: number): number {
  return address < 2 ** 31 ? address >> PAGE_SHIFT : Math.floor(address / PAGE_BYTES);
}

function stillPinned(page: number): MemoryError {
  return new MemoryError('SGXIO_MEMORY_MISUSE', `page ${page} is still pinned; unlink what uses it first`);
}
