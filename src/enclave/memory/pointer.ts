import { InvalidArgumentError } from '../../errors.ts';
import { PAGE_BYTES } from '../../limits.ts';
import { Mark } from './frame-table.ts';
import { type PageCache, pageOf } from './page-cache.ts';

/** What a pointer needs of its heap. */
export interface PointerSpace {
  readonly cache: PageCache;
  /** The pointers of this thread that are linked now. */
  readonly linked: SecurePointer[];
  /** Counts frees: while it stands still, a block that was there is there. */
  readonly frees: number;
  /** Throws unless the block at this address is still the one of this generation. */
  verify(address: number, generation: number): void;
}

/** Below this, a loop over bytes is quicker than making a view to copy with. */
const SHORT_BYTES = 48;

export const LARGEST_SMALL_INTEGER: number = 2 ** 30 - 1;

/** For values that cross the border of two pages, or come with a fault. */
const valueScratch: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(8));
/** The heap's own, because it checks a block while a value waits to be put there. */
const heapScratch: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(8));

/**
 * A pointer to a block of the heap (Eleos' spointer). Offsets and lengths are in bytes; numbers are little-endian and
 * need no alignment. An access outside the block, or to a block that was freed, throws.
 *
 * The first access links the pointer: its page is pinned in a frame, and accesses within it cost one test that the
 * offset lies in the linked window, which is the bounds check as well. The first write to a page opens the window for
 * writing and marks the page dirty, so a write cannot be lost by forgetting a hint, and a page that was only read stays
 * clean. Moving to another page, `unlink` and the end of a `using` scope release the pin.
 */
export class SecurePointer implements Disposable {
  readonly #space: PointerSpace;
  readonly #view: DataView<ArrayBuffer>;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #scratch: DataView<ArrayBuffer>;
  /** Where the last value was read that did not lie in the linked window. */
  #reached: DataView<ArrayBuffer>;
  readonly #sparse: boolean;
  #address: number;
  #length: number;
  #generation: number;
  #verifiedAt: number;
  /** The linked window, from low to high (as far as `writable` for writing), and the way from an offset to the frames. */
  #low = 1;
  #high = 0;
  #writable = 0;
  #shift = 0;
  #frame = -1;
  #page = -1;
  #index = -1;

  /** For the heap only. A pointer of generation 0 is not checked against a block. */
  constructor(
    space: PointerSpace,
    block: { address: number; length: number; generation: number; sparse?: boolean },
  ) {
    this.#space = space;
    this.#view = space.cache.view;
    this.#bytes = space.cache.frames;
    this.#scratch = block.generation === 0 ? heapScratch : valueScratch;
    this.#reached = this.#view;
    this.#sparse = block.sparse ?? false;
    this.#address = block.address;
    this.#length = block.length;
    this.#generation = block.generation;
    this.#verifiedAt = space.frees;
  }

  /** Where the block lies in the heap: a number that may be kept in the heap, and made a pointer again. */
  get address(): number {
    return this.#address;
  }

  get length(): number {
    return this.#length;
  }

  get generation(): number {
    return this.#generation;
  }

  get sparse(): boolean {
    return this.#sparse;
  }

  get isLinked(): boolean {
    return this.#frame >= 0;
  }

  /** The linked window, for containers that keep a copy of it: offsets, and where `windowStart` is in the frames. */
  get windowStart(): number {
    return this.#low;
  }

  get windowEnd(): number {
    return this.#high;
  }

  get windowPosition(): number {
    return this.#low + this.#shift;
  }

  getUint8(offset: number): number {
    const near = offset >= this.#low && offset <= this.#high - 1;
    const at = near ? offset + this.#shift : this.#reach(offset, 1);
    return (near ? this.#view : this.#reached).getUint8(at);
  }

  getInt8(offset: number): number {
    const near = offset >= this.#low && offset <= this.#high - 1;
    const at = near ? offset + this.#shift : this.#reach(offset, 1);
    return (near ? this.#view : this.#reached).getInt8(at);
  }

  getUint16(offset: number): number {
    const near = offset >= this.#low && offset <= this.#high - 2;
    const at = near ? offset + this.#shift : this.#reach(offset, 2);
    return (near ? this.#view : this.#reached).getUint16(at, true);
  }

  getInt16(offset: number): number {
    const near = offset >= this.#low && offset <= this.#high - 2;
    const at = near ? offset + this.#shift : this.#reach(offset, 2);
    return (near ? this.#view : this.#reached).getInt16(at, true);
  }

  getUint32(offset: number): number {
    const near = offset >= this.#low && offset <= this.#high - 4;
    const at = near ? offset + this.#shift : this.#reach(offset, 4);
    return (near ? this.#view : this.#reached).getUint32(at, true);
  }

  getInt32(offset: number): number {
    const near = offset >= this.#low && offset <= this.#high - 4;
    const at = near ? offset + this.#shift : this.#reach(offset, 4);
    return (near ? this.#view : this.#reached).getInt32(at, true);
  }

  getFloat32(offset: number): number {
    const near = offset >= this.#low && offset <= this.#high - 4;
    const at = near ? offset + this.#shift : this.#reach(offset, 4);
    return (near ? this.#view : this.#reached).getFloat32(at, true);
  }

  getFloat64(offset: number): number {
    const near = offset >= this.#low && offset <= this.#high - 8;
    const at = near ? offset + this.#shift : this.#reach(offset, 8);
    return (near ? this.#view : this.#reached).getFloat64(at, true);
  }

  getBigUint64(offset: number): bigint {
    const near = offset >= this.#low && offset <= this.#high - 8;
    const at = near ? offset + this.#shift : this.#reach(offset, 8);
    return (near ? this.#view : this.#reached).getBigUint64(at, true);
  }

  getBigInt64(offset: number): bigint {
    const near = offset >= this.#low && offset <= this.#high - 8;
    const at = near ? offset + this.#shift : this.#reach(offset, 8);
    return (near ? this.#view : this.#reached).getBigInt64(at, true);
  }

  setUint8(offset: number, value: number): void {
    if (offset >= this.#low && offset <= this.#writable - 1) {
      this.#view.setUint8(offset + this.#shift, value);
    } else {
      this.#scratch.setUint8(0, value);
      this.#put(offset, 1);
    }
  }

  setInt8(offset: number, value: number): void {
    this.setUint8(offset, value);
  }

  setUint16(offset: number, value: number): void {
    if (offset >= this.#low && offset <= this.#writable - 2) {
      this.#view.setUint16(offset + this.#shift, value, true);
    } else {
      this.#scratch.setUint16(0, value, true);
      this.#put(offset, 2);
    }
  }

  setInt16(offset: number, value: number): void {
    if (offset >= this.#low && offset <= this.#writable - 2) {
      this.#view.setInt16(offset + this.#shift, value, true);
    } else {
      this.#scratch.setInt16(0, value, true);
      this.#put(offset, 2);
    }
  }

  setUint32(offset: number, value: number): void {
    if (offset >= this.#low && offset <= this.#writable - 4) {
      this.#view.setUint32(offset + this.#shift, value, true);
    } else {
      this.#scratch.setUint32(0, value, true);
      this.#put(offset, 4);
    }
  }

  setInt32(offset: number, value: number): void {
    if (offset >= this.#low && offset <= this.#writable - 4) {
      this.#view.setInt32(offset + this.#shift, value, true);
    } else {
      this.#scratch.setInt32(0, value, true);
      this.#put(offset, 4);
    }
  }

  setFloat32(offset: number, value: number): void {
    if (offset >= this.#low && offset <= this.#writable - 4) {
      this.#view.setFloat32(offset + this.#shift, value, true);
    } else {
      this.#scratch.setFloat32(0, value, true);
      this.#put(offset, 4);
    }
  }

  setFloat64(offset: number, value: number): void {
    if (offset >= this.#low && offset <= this.#writable - 8) {
      this.#view.setFloat64(offset + this.#shift, value, true);
    } else {
      this.#scratch.setFloat64(0, value, true);
      this.#put(offset, 8);
    }
  }

  setBigUint64(offset: number, value: bigint): void {
    if (offset >= this.#low && offset <= this.#writable - 8) {
      this.#view.setBigUint64(offset + this.#shift, value, true);
    } else {
      this.#scratch.setBigUint64(0, value, true);
      this.#put(offset, 8);
    }
  }

  setBigInt64(offset: number, value: bigint): void {
    if (offset >= this.#low && offset <= this.#writable - 8) {
      this.#view.setBigInt64(offset + this.#shift, value, true);
    } else {
      this.#scratch.setBigInt64(0, value, true);
      this.#put(offset, 8);
    }
  }

  /**
   * Where `bytes` bytes from `offset` lie in `heap.frames`, linked for reading: for a loop that is to run at the speed
   * of a plain typed array. Valid until this pointer is used elsewhere or unlinked. They must lie in one page.
   */
  locate(offset: number, bytes: number): number {
    if (offset >= this.#low && offset + bytes <= this.#high) return offset + this.#shift;
    return this.#locateFar(offset, bytes, false);
  }

  /** As `locate`, for writing too. */
  locateToWrite(offset: number, bytes: number): number {
    if (offset >= this.#low && offset + bytes <= this.#writable) return offset + this.#shift;
    return this.#locateFar(offset, bytes, true);
  }

  /** Fills `target` from `offset` on. */
  read(offset: number, target: Uint8Array<ArrayBuffer>): void {
    this.checkRange(offset, target.length);
    for (let done = 0; done < target.length; ) {
      const at = offset + done;
      const bytes = Math.min(target.length - done, PAGE_BYTES - ((this.#address + at) % PAGE_BYTES));
      if (this.#sparse && !(at >= this.#low && at < this.#high)) {
        this.#verify();
        const address = this.#address + at;
        this.#space.cache.readDirect(pageOf(address), address % PAGE_BYTES, target, done, bytes);
      } else {
        const from = this.locate(at, bytes);
        if (bytes <= SHORT_BYTES) {
          for (let index = 0; index < bytes; index++) target[done + index] = this.#bytes[from + index]!;
        } else {
          target.set(this.#bytes.subarray(from, from + bytes), done);
        }
      }
      done += bytes;
    }
  }

  /** Writes all of `source` from `offset` on. */
  write(offset: number, source: Uint8Array<ArrayBuffer>): void {
    this.checkRange(offset, source.length);
    for (let done = 0; done < source.length; ) {
      const at = offset + done;
      const bytes = Math.min(source.length - done, PAGE_BYTES - ((this.#address + at) % PAGE_BYTES));
      const to = this.locateToWrite(at, bytes);
      if (bytes <= SHORT_BYTES) {
        for (let index = 0; index < bytes; index++) this.#bytes[to + index] = source[done + index]!;
      } else {
        this.#bytes.set(source.subarray(done, done + bytes), to);
      }
      done += bytes;
    }
  }

  fill(value: number, offset: number = 0, bytes: number = this.#length - offset): void {
    this.checkRange(offset, bytes);
    for (let at = offset; at < offset + bytes; at = this.#high) {
      this.link(at, true);
      const end = Math.min(this.#high, offset + bytes);
      this.#bytes.fill(value, at + this.#shift, end + this.#shift);
    }
  }

  /** Copies bytes of this block into `target`'s, which may be the same one, overlapping. */
  copy(offset: number, target: SecurePointer, targetOffset: number, bytes: number): void {
    this.checkRange(offset, bytes);
    target.checkRange(targetOffset, bytes);
    const from = this.#address + offset;
    const to = target.#address + targetOffset;
    const backward = to > from && to < from + bytes;
    let left = bytes;
    while (left > 0) {
      const done = backward ? left : bytes - left;
      const piece = Math.min(left, room(from + done, backward), room(to + done, backward));
      const start = backward ? done - piece : done;
      this.#copyPiece(offset + start, target, targetOffset + start, piece);
      left -= piece;
    }
  }

  /** The order of two ranges of equal length, byte by byte: negative, 0 or positive. */
  compare(offset: number, other: SecurePointer, otherOffset: number, bytes: number): number {
    this.checkRange(offset, bytes);
    other.checkRange(otherOffset, bytes);
    for (let done = 0; done < bytes; ) {
      const here = offset + done;
      const there = otherOffset + done;
      const piece = Math.min(
        bytes - done,
        room(this.#address + here, false),
        room(other.#address + there, false),
      );
      const one = this.locate(here, piece);
      // The same pointer twice would leave its first page; the second place is pinned by a pointer of its own.
      using second = other.#twin();
      const two = second.locate(there, piece);
      const order = Buffer.compare(
        this.#bytes.subarray(one, one + piece),
        this.#bytes.subarray(two, two + piece),
      );
      if (order !== 0) return order;
      done += piece;
    }
    return 0;
  }

  /** Pins the page of `offset`, and opens the window on it. Accesses do so by themselves. */
  link(offset: number, writing: boolean): void {
    this.checkRange(offset, 1);
    const page = pageOf(this.#address + offset);
    const marks = writing ? (this.#sparse ? Mark.dirty | Mark.sparse : Mark.dirty) : Mark.none;
    if (this.#frame < 0 || page !== this.#page) {
      this.unlink();
      this.#verify();
      this.#frame = this.#space.cache.acquire(page, marks);
      this.#page = page;
      this.#index = this.#space.linked.push(this) - 1;
      this.#open(page * PAGE_BYTES - this.#address, writing);
    } else if (writing && this.#writable === 0) {
      this.#space.cache.mark(this.#frame, marks);
      this.#writable = this.#high;
    }
  }

  /** Opens the window on the linked page, which begins at the offset `start` (negative when the block begins in it). */
  #open(start: number, writing: boolean): void {
    const low = Math.max(start, 0);
    const high = Math.min(start + PAGE_BYTES, this.#length);
    const shift = this.#frame * PAGE_BYTES - start;
    // Small integers where they do: the engine keeps those in the object itself, and compares them quicker.
    if (high <= LARGEST_SMALL_INTEGER) {
      this.#low = low | 0;
      this.#high = high | 0;
      this.#writable = writing ? high | 0 : 0;
      this.#shift = shift | 0;
    } else {
      this.#low = low;
      this.#high = high;
      this.#writable = writing ? high : 0;
      this.#shift = shift;
    }
  }

  /** Releases the pin. The next access links again. */
  unlink(): void {
    if (this.#frame < 0) return;
    this.#space.cache.release(this.#frame);
    const last = this.#space.linked.pop()!;
    if (last !== this) {
      this.#space.linked[this.#index] = last;
      last.#index = this.#index;
    }
    this.#frame = -1;
    this.#low = 1;
    this.#high = 0;
    this.#writable = 0;
  }

  [Symbol.dispose](): void {
    this.unlink();
  }

  #twin(): SecurePointer {
    return new SecurePointer(this.#space, {
      address: this.#address,
      length: this.#length,
      generation: this.#generation,
      sparse: this.#sparse,
    });
  }

  #copyPiece(offset: number, target: SecurePointer, targetOffset: number, bytes: number): void {
    const from = this.locate(offset, bytes);
    using second = target.#twin();
    const to = second.locateToWrite(targetOffset, bytes);
    this.#bytes.copyWithin(to, from, from + bytes);
  }

  /** Apart, so that a loop around `locate` holds one call that is seldom made, and nothing else of this. */
  #locateFar(offset: number, bytes: number, writing: boolean): number {
    this.checkRange(offset, bytes);
    this.link(offset, writing);
    if (offset + bytes <= this.#high) return offset + this.#shift;
    throw new InvalidArgumentError(`the ${bytes} bytes at ${offset} cross the border of a page`);
  }

  /** Where to read a value in `#reached`: in its page, which is linked now, or put together from two pages. */
  #reach(offset: number, bytes: number): number {
    this.checkRange(offset, bytes);
    this.link(offset, false);
    if (offset + bytes <= this.#high) {
      this.#reached = this.#view;
      return offset + this.#shift;
    }
    for (let index = 0; index < bytes; index++) {
      const at = offset + index;
      if (at >= this.#high) this.link(at, false);
      this.#scratch.setUint8(index, this.#bytes[at + this.#shift]!);
    }
    this.#reached = this.#scratch;
    return 0;
  }

  #put(offset: number, bytes: number): void {
    this.checkRange(offset, bytes);
    for (let index = 0; index < bytes; index++) {
      const at = offset + index;
      if (!(at >= this.#low && at < this.#writable)) this.link(at, true);
      this.#bytes[at + this.#shift] = this.#scratch.getUint8(index);
    }
  }

  #verify(): void {
    if (this.#verifiedAt === this.#space.frees || this.#generation === 0) return;
    const { frees } = this.#space;
    this.#space.verify(this.#address, this.#generation);
    this.#verifiedAt = frees;
  }

  /** Throws unless the range lies in the block. A sum of two safe integers cannot wrap, so it is bounded as it is. */
  checkRange(offset: number, bytes: number): void {
    const sane = Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0;
    if (sane && offset + bytes <= this.#length) return;
    throw new InvalidArgumentError(
      `${bytes} bytes at offset ${offset} lie outside a block of ${this.#length} bytes`,
    );
  }
}

/** How far it is from an address to the end of its page, or back to the beginning. */
function room(address: number, backward: boolean): number {
  const within = address % PAGE_BYTES;
  return backward ? within || PAGE_BYTES : PAGE_BYTES - within;
}
