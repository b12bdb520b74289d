import { InvalidArgumentError, MemoryError } from '../../errors.ts';
import { PAGE_BYTES } from '../../limits.ts';
import { type Layout, Quantity, SECOND_LEVEL_CLASSES, Word } from './layout.ts';
import type { PageCache } from './page-cache.ts';
import type { SecurePointer } from './pointer.ts';

export interface Block {
  readonly address: number;
  /** The bytes that were asked for. */
  readonly length: number;
  /** Never the same for two blocks at one address, up to 2^32 allocations; not 0. */
  readonly generation: number;
}

/** Blocks begin and end at multiples of this; everything below counts in such units. */
const UNIT_BYTES = 16;
const UNITS_PER_PAGE = PAGE_BYTES / UNIT_BYTES;
/** A header, and room for the links of a free block. */
const LEAST_UNITS = 2;
const FIRST_UNIT = 1;
const CLASS_BITS = 4;
/** How far a list is walked whose blocks may be too short. */
const MOST_TRIES = 16;

/** Fields of the unit that begins each block, and of the one after it when the block is free. Each a Uint32. */
const UNITS = 0;
const UNITS_BEFORE = 4;
const GENERATION = 8;
const CHECK = 12;
const NEXT_FREE = 16;
const PREVIOUS_FREE = 20;

/**
 * Two-level segregated fit (Masmano et al., ECRTS'04): every operation touches a handful of blocks, however many there
 * are. Heads and bit maps are in the header of private memory; the headers of blocks lie in the heap's own pages, so
 * they are sealed whenever they leave it, and take no private memory of their own.
 *
 * A header says how long its block and the one before it are, the generation (0 when free), and a check that tells a
 * header from other bytes.
 */
export class Allocator {
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #quantities: Float64Array<ArrayBuffer>;
  readonly #secondLevel: Int32Array<ArrayBuffer>;
  readonly #heads: Uint32Array<ArrayBuffer>;
  readonly #cache: PageCache;
  readonly #cursor: SecurePointer;
  readonly #end: number;

  /** `cursor` points to the heap as a whole. */
  constructor(layout: Layout, cache: PageCache, cursor: SecurePointer) {
    this.#words = layout.words;
    this.#quantities = layout.quantities;
    this.#secondLevel = layout.secondLevel;
    this.#heads = layout.freeBlocks;
    this.#cache = cache;
    this.#cursor = cursor;
    this.#end = Math.min(Math.floor(cursor.length / UNIT_BYTES), 2 ** 32 - 1);
  }

  /** Makes all of the heap one free block. */
  format(): void {
    using _ = this.#cursor;
    this.#writeFree(FIRST_UNIT, this.#end - FIRST_UNIT, 0);
  }

  /** A block of zeros. From a page's size on it begins with a page, so that elements do not cross borders. */
  allocate(bytes: number): Block {
    using cursor = this.#cursor;
    const units = this.#unitsFor(bytes);
    const aligned = bytes >= PAGE_BYTES;
    this.#begin();
    let unit = this.#takeFree(aligned ? units + UNITS_PER_PAGE + 1 : units);
    if (unit === 0) {
      this.#done();
      throw this.#exhausted(bytes);
    }
    if (aligned) unit = this.#align(unit);
    this.#splitTail(unit, units);
    const generation = this.#nextGeneration();
    this.#writeUsed(unit, bytes, generation);
    this.#quantities[Quantity.usedBytes]! += cursor.getUint32(unit * UNIT_BYTES + UNITS) * UNIT_BYTES;
    this.#quantities[Quantity.blocks]! += 1;
    const address = (unit + 1) * UNIT_BYTES;
    this.#clear(address, bytes);
    this.#done();
    return { address, length: bytes, generation };
  }

  free(address: number): void {
    using cursor = this.#cursor;
    const block = this.#blockAt(address);
    const unit = address / UNIT_BYTES - 1;
    this.#checkSettled();
    this.#discardWholePages(address, block.length);
    this.#begin();
    Atomics.add(this.#words, Word.frees, 1);
    let start = unit;
    let units = cursor.getUint32(unit * UNIT_BYTES + UNITS);
    let before = cursor.getUint32(unit * UNIT_BYTES + UNITS_BEFORE);
    this.#quantities[Quantity.usedBytes]! -= units * UNIT_BYTES;
    this.#quantities[Quantity.blocks]! -= 1;
    this.#erase(unit);
    const after = unit + units;
    if (after < this.#end && this.#isFree(after)) units += this.#absorb(after);
    if (before !== 0 && this.#isFree(unit - before)) {
      start = unit - before;
      units += before;
      before = cursor.getUint32(start * UNIT_BYTES + UNITS_BEFORE);
      this.#absorb(start);
    }
    this.#writeFree(start, units, before);
    this.#done();
  }

  /** Makes a block longer or shorter where it is, under a new generation. Undefined when something is in the way. */
  resize(address: number, bytes: number): Block | undefined {
    using cursor = this.#cursor;
    const block = this.#blockAt(address);
    const unit = address / UNIT_BYTES - 1;
    const units = this.#unitsFor(bytes);
    const had = cursor.getUint32(unit * UNIT_BYTES + UNITS);
    if (bytes >= PAGE_BYTES && address % PAGE_BYTES !== 0) return undefined;
    if (units > had) {
      const after = unit + had;
      if (after >= this.#end || !this.#isFree(after)) return undefined;
      if (had + cursor.getUint32(after * UNIT_BYTES + UNITS) < units) return undefined;
      this.#begin();
      this.#setUnits(unit, had + this.#absorb(after));
    } else {
      this.#begin();
    }
    Atomics.add(this.#words, Word.frees, 1);
    const generation = this.#nextGeneration();
    this.#splitTail(unit, units);
    this.#writeUsed(unit, bytes, generation);
    this.#quantities[Quantity.usedBytes]! += (cursor.getUint32(unit * UNIT_BYTES + UNITS) - had) * UNIT_BYTES;
    if (bytes > block.length) this.#clear(address + block.length, bytes - block.length);
    this.#done();
    return { address, length: bytes, generation };
  }

  /** The block at an address, or an error that says what is wrong with it. */
  find(address: number): Block {
    using _ = this.#cursor;
    return this.#blockAt(address);
  }

  #blockAt(address: number): Block {
    const unit = address / UNIT_BYTES - 1;
    if (!Number.isInteger(unit) || unit < FIRST_UNIT || unit >= this.#end) throw notABlock(address);
    const at = unit * UNIT_BYTES;
    const units = this.#cursor.getUint32(at + UNITS);
    const generation = this.#cursor.getUint32(at + GENERATION);
    const check = this.#cursor.getUint32(at + CHECK);
    const slack = check & 0xff;
    if (generation === 0 || check >>> 8 !== checkOf(unit, units, generation)) throw notABlock(address);
    return { address, length: (units - 1) * UNIT_BYTES - slack, generation };
  }

  #checkSettled(): void {
    if (this.#words[Word.allocatorBusy] !== 0) {
      throw new MemoryError(
        'SGXIO_MEMORY_EXHAUSTED',
        'the backing store failed in the middle of an allocation; blocks can be used, but none made or freed',
      );
    }
  }

  #begin(): void {
    this.#checkSettled();
    this.#words[Word.allocatorBusy] = 1;
  }

  #done(): void {
    this.#words[Word.allocatorBusy] = 0;
  }

  #unitsFor(bytes: number): number {
    if (!Number.isSafeInteger(bytes) || bytes < 1) {
      throw new InvalidArgumentError(`a block has a whole number of bytes from 1 on, not ${bytes}`);
    }
    if (bytes > this.#cursor.length) throw this.#exhausted(bytes);
    return Math.ceil(bytes / UNIT_BYTES) + 1;
  }

  #exhausted(bytes: number): MemoryError {
    const free = this.#cursor.length - this.#quantities[Quantity.usedBytes]!;
    return new MemoryError(
      'SGXIO_MEMORY_EXHAUSTED',
      `no block of ${bytes} bytes is free in the heap of ${this.#cursor.length} (${free} are, in pieces); give it a larger backing store`,
    );
  }

  #nextGeneration(): number {
    this.#words[Word.generation] = this.#words[Word.generation]! + 1;
    if (this.#words[Word.generation] === 0) this.#words[Word.generation] = 1;
    return this.#words[Word.generation]! >>> 0;
  }

  /** Leaves a free block before a block so that its content begins with a page; returns where the block begins then. */
  #align(unit: number): number {
    let pad = (UNITS_PER_PAGE - ((unit + 1) % UNITS_PER_PAGE)) % UNITS_PER_PAGE;
    if (pad === 0) return unit;
    if (pad < LEAST_UNITS) pad += UNITS_PER_PAGE;
    const at = unit * UNIT_BYTES;
    const units = this.#cursor.getUint32(at + UNITS);
    const before = this.#cursor.getUint32(at + UNITS_BEFORE);
    this.#writeFree(unit, pad, before);
    this.#cursor.setUint32((unit + pad) * UNIT_BYTES + UNITS_BEFORE, pad);
    this.#setUnits(unit + pad, units - pad);
    return unit + pad;
  }

  /** Gives back what a block has beyond `units`, when that makes a block. */
  #splitTail(unit: number, units: number): void {
    const had = this.#cursor.getUint32(unit * UNIT_BYTES + UNITS);
    if (had - units < LEAST_UNITS) return;
    this.#setUnits(unit, units);
    const tail = unit + units;
    const after = unit + had;
    let spare = had - units;
    if (after < this.#end && this.#isFree(after)) spare += this.#absorb(after);
    this.#writeFree(tail, spare, units);
  }

  /** Says how long a block is, in its own header and in the next one. */
  #setUnits(unit: number, units: number): void {
    this.#cursor.setUint32(unit * UNIT_BYTES + UNITS, units);
    if (unit + units < this.#end) this.#cursor.setUint32((unit + units) * UNIT_BYTES + UNITS_BEFORE, units);
  }

  #writeUsed(unit: number, bytes: number, generation: number): void {
    const at = unit * UNIT_BYTES;
    const units = this.#cursor.getUint32(at + UNITS);
    const slack = (units - 1) * UNIT_BYTES - bytes;
    this.#cursor.setUint32(at + GENERATION, generation);
    this.#cursor.setUint32(at + CHECK, checkOf(unit, units, generation) * 256 + slack);
  }

  #writeFree(unit: number, units: number, before: number): void {
    const at = unit * UNIT_BYTES;
    this.#setUnits(unit, units);
    this.#cursor.setUint32(at + UNITS_BEFORE, before);
    this.#cursor.setUint32(at + GENERATION, 0);
    const list = listOf(units);
    const head = this.#heads[list]!;
    this.#cursor.setUint32(at + NEXT_FREE, head);
    this.#cursor.setUint32(at + PREVIOUS_FREE, 0);
    if (head !== 0) this.#cursor.setUint32(head * UNIT_BYTES + PREVIOUS_FREE, unit);
    this.#setHead(list, unit);
  }

  #isFree(unit: number): boolean {
    return this.#cursor.getUint32(unit * UNIT_BYTES + GENERATION) === 0;
  }

  /** Takes a free block off its list and erases its header. Returns its length. */
  #absorb(unit: number): number {
    const units = this.#cursor.getUint32(unit * UNIT_BYTES + UNITS);
    this.#removeFree(unit, units);
    this.#erase(unit);
    return units;
  }

  #erase(unit: number): void {
    this.#cursor.fill(0, unit * UNIT_BYTES, UNIT_BYTES);
  }

  #removeFree(unit: number, units: number): void {
    const next = this.#cursor.getUint32(unit * UNIT_BYTES + NEXT_FREE);
    const previous = this.#cursor.getUint32(unit * UNIT_BYTES + PREVIOUS_FREE);
    if (next !== 0) this.#cursor.setUint32(next * UNIT_BYTES + PREVIOUS_FREE, previous);
    if (previous !== 0) this.#cursor.setUint32(previous * UNIT_BYTES + NEXT_FREE, next);
    else this.#setHead(listOf(units), next);
  }

  #setHead(list: number, unit: number): void {
    this.#heads[list] = unit;
    const first = Math.floor(list / SECOND_LEVEL_CLASSES);
    const bit = 1 << (list % SECOND_LEVEL_CLASSES);
    if (unit !== 0) this.#secondLevel[first]! |= bit;
    else this.#secondLevel[first]! &= ~bit;
    if (this.#secondLevel[first] !== 0) this.#words[Word.firstLevel]! |= 1 << first;
    else this.#words[Word.firstLevel]! &= ~(1 << first);
  }

  /** Takes a free block of at least `units` units off its list; 0 when there is none. */
  #takeFree(units: number): number {
    const unit = this.#findFitting(units) || this.#findTight(units);
    if (unit !== 0) this.#removeFree(unit, this.#cursor.getUint32(unit * UNIT_BYTES + UNITS));
    return unit;
  }

  /** A block from a list of which every block is long enough. */
  #findFitting(units: number): number {
    const list = listOf(roundedUp(units));
    let first = Math.floor(list / SECOND_LEVEL_CLASSES);
    let lists = this.#secondLevel[first]! & (-1 << (list % SECOND_LEVEL_CLASSES));
    if (lists === 0) {
      const levels = first >= 31 ? 0 : this.#words[Word.firstLevel]! & (-1 << (first + 1));
      if (levels === 0) return 0;
      first = lowestBit(levels);
      lists = this.#secondLevel[first]!;
    }
    return this.#heads[first * SECOND_LEVEL_CLASSES + lowestBit(lists)]!;
  }

  /** A block from the list of which some are long enough: else a heap could never give out its last sixteenth. */
  #findTight(units: number): number {
    let unit = this.#heads[listOf(units)] ?? 0;
    for (let tries = 0; unit !== 0 && tries < MOST_TRIES; tries++) {
      if (this.#cursor.getUint32(unit * UNIT_BYTES + UNITS) >= units) return unit;
      unit = this.#cursor.getUint32(unit * UNIT_BYTES + NEXT_FREE);
    }
    return 0;
  }

  #clear(address: number, bytes: number): void {
    const touched = this.#quantities[Quantity.touchedPages]! * PAGE_BYTES;
    const end = Math.min(address + bytes, touched);
    const firstWhole = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
    const lastWhole = Math.floor(end / PAGE_BYTES) * PAGE_BYTES;
    if (end <= address) return;
    if (firstWhole >= lastWhole) {
      this.#cursor.fill(0, address, end - address);
      return;
    }
    this.#cursor.fill(0, address, firstWhole - address);
    this.#cursor.fill(0, lastWhole, end - lastWhole);
    this.#cursor.unlink();
    this.#discardWholePages(firstWhole, lastWhole - firstWhole);
  }

  #discardWholePages(address: number, bytes: number): void {
    const first = Math.ceil(address / PAGE_BYTES);
    const end = Math.floor((address + bytes) / PAGE_BYTES);
    this.#cursor.unlink();
    if (end > first) this.#cache.discard(first, end - first);
  }
}

/** The list of free blocks of that many units: by its highest bit, then by the four after it. */
function listOf(units: number): number {
  if (units < SECOND_LEVEL_CLASSES) return units;
  const highest = 31 - Math.clz32(units);
  const second = (units >>> (highest - CLASS_BITS)) & (SECOND_LEVEL_CLASSES - 1);
  return (highest - CLASS_BITS + 1) * SECOND_LEVEL_CLASSES + second;
}

/** The least length of which every block on its list is long enough; beyond 32 bits, none is. */
function roundedUp(units: number): number {
  if (units < SECOND_LEVEL_CLASSES) return units;
  const rounded = units + 2 ** (31 - Math.clz32(units) - CLASS_BITS) - 1;
  return Math.min(rounded, 2 ** 32 - 1);
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

function checkOf(unit: number, units: number, generation: number): number {
  const mixed =
    Math.imul(unit ^ Math.imul(units, 0x85ebca6b), 0x9e3779b1) ^ Math.imul(generation, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 15)) & 0xffffff;
}

function notABlock(address: number): MemoryError {
  return new MemoryError(
    'SGXIO_MEMORY_MISUSE',
    `there is no block at ${address}: it was freed, or never allocated`,
  );
}
