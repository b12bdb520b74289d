import { constants } from 'node:os';
import { SystemError } from '../../errors.ts';
import type { Blocks } from './blocks.ts';
import { BLOCK_BYTES, Entry, FANOUT, FileRecord, HEIGHT_MAX, readNumber, writeNumber } from './format.ts';
import type { KeyOwner } from './keys.ts';
import type { Trees } from './trees.ts';

/** Blocks of one file: their numbers are 32-bit integers. */
const BLOCKS_MAX = 2 ** 32;
export const FILE_BYTES_MAX: number = BLOCKS_MAX * BLOCK_BYTES;

/**
 * One file as its mount sees it: a record, and below the record's entry a tree of blocks, the file's own at level 0
 * and index blocks above them. It is in memory as long as it has a block in a frame or a user, and as long stays the
 * frame with its record. What threads must agree on lies in {@link Trees}; each makes such an object for itself.
 */
export class Tree implements KeyOwner {
  /** Its entry in the tables of files in use. */
  readonly slot: number;
  readonly number: number;
  /** The frame of its record, pinned; -1 for the table of files, whose record is in the root. */
  readonly recordFrame: number;
  /** For errors: a name that this thread found it by. */
  path: string;
  readonly #blocks: Blocks;
  readonly #trees: Trees;
  readonly #record: number;
  /** Blocks that this thread used in order, and the one after them. */
  #used = 0;
  #next = -1;

  constructor(blocks: Blocks, slot: number, path: string, record: number) {
    this.#blocks = blocks;
    this.#trees = blocks.frames.trees;
    this.slot = slot;
    this.number = this.#trees.numbers[slot]!;
    this.recordFrame = this.#trees.recordFrames[slot]!;
    this.path = path;
    this.#record = record;
  }

  /** Notes that blocks are used, to tell when they are in order. */
  use(index: number, count: number): void {
    this.#used = this.usedBefore(index) + count;
    this.#next = index + count;
  }

  /** How many blocks were used in order up to a block, that one not counted. */
  usedBefore(index: number): number {
    if (index === this.#next) return this.#used;
    // Again the one that was used last.
    return index === this.#next - 1 ? this.#used - 1 : 0;
  }

  get users(): number {
    return this.#trees.users[this.slot]!;
  }

  set users(count: number) {
    this.#trees.users[this.slot] = count;
  }

  get mapped(): number {
    return this.#trees.mapped[this.slot]!;
  }

  set mapped(count: number) {
    this.#trees.mapped[this.slot] = count;
  }

  /** Whether it has no name any more, and goes when its last user leaves. */
  get orphan(): boolean {
    return this.#trees.orphans[this.slot] !== 0;
  }

  makeOrphan(): void {
    this.#trees.orphans[this.slot] = 1;
  }

  /** How many open files share its lock; -1: one has it alone. */
  get locked(): number {
    return this.#trees.locks[this.slot]!;
  }

  set locked(holders: number) {
    this.#trees.locks[this.slot] = holders;
  }

  get entryAt(): number {
    return this.#record + FileRecord.entry;
  }

  get kind(): number {
    return this.#blocks.frames.bytes[this.#record + FileRecord.kind]!;
  }

  set kind(kind: number) {
    this.#blocks.frames.bytes[this.#record + FileRecord.kind] = kind;
    this.changed();
  }

  get height(): number {
    return this.#blocks.frames.bytes[this.#record + FileRecord.height]!;
  }

  set height(height: number) {
    this.#blocks.frames.bytes[this.#record + FileRecord.height] = height;
    this.changed();
  }

  get mode(): number {
    return this.#blocks.frames.view.getUint16(this.#record + FileRecord.mode, true);
  }

  set mode(mode: number) {
    this.#blocks.frames.view.setUint16(this.#record + FileRecord.mode, mode, true);
    this.changed();
  }

  get incarnation(): number {
    return this.#blocks.frames.view.getUint32(this.#record + FileRecord.incarnation, true);
  }

  set incarnation(incarnation: number) {
    this.#blocks.frames.view.setUint32(this.#record + FileRecord.incarnation, incarnation >>> 0, true);
    this.changed();
  }

  get bucketBits(): number {
    return this.#blocks.frames.bytes[this.#record + FileRecord.bucketBits]!;
  }

  set bucketBits(bits: number) {
    this.#blocks.frames.bytes[this.#record + FileRecord.bucketBits] = bits;
    this.changed();
  }

  get size(): number {
    return this.#number(FileRecord.size);
  }

  set size(size: number) {
    this.#setNumber(FileRecord.size, size);
  }

  get seals(): number {
    return this.#number(FileRecord.seals);
  }

  set seals(seals: number) {
    writeNumber(this.#blocks.frames.view, this.#record + FileRecord.seals, seals);
  }

  get parent(): number {
    return this.#number(FileRecord.parent);
  }

  set parent(number: number) {
    this.#setNumber(FileRecord.parent, number);
  }

  get children(): number {
    return this.#number(FileRecord.children);
  }

  set children(count: number) {
    this.#setNumber(FileRecord.children, count);
  }

  get nextFree(): number {
    return this.#number(FileRecord.nextFree);
  }

  set nextFree(number: number) {
    this.#setNumber(FileRecord.nextFree, number);
  }

  time(which: 'accessed' | 'modified' | 'changed' | 'born'): number {
    return this.#blocks.frames.view.getFloat64(this.#record + FileRecord[which], true);
  }

  setTime(which: 'accessed' | 'modified' | 'changed' | 'born', milliseconds: number): void {
    this.#blocks.frames.view.setFloat64(this.#record + FileRecord[which], milliseconds, true);
    this.changed();
  }

  /** Its record differs from what the store has. */
  changed(): void {
    if (this.recordFrame >= 0) this.#blocks.frames.dirty(this.recordFrame);
  }

  /** Copies out from `position` on and says how many bytes: fewer than all only at the end. */
  read(position: number, target: Uint8Array<ArrayBuffer>): number {
    const length = Math.min(target.length, this.size - position);
    const { frames } = this.#blocks;
    for (let done = 0; done < length; ) {
      const index = Math.floor((position + done) / BLOCK_BYTES);
      const offset = (position + done) % BLOCK_BYTES;
      const whole = offset === 0 ? Math.floor((length - done) / BLOCK_BYTES) : 0;
      const past = whole > 0 ? this.#blocks.scan(this, index, whole, target, done) : 0;
      if (past > 0) {
        done += past * BLOCK_BYTES;
        continue;
      }
      const count = Math.min(BLOCK_BYTES - offset, length - done);
      const frame = this.#blocks.pin(this, 0, index, Math.max(1, whole));
      const from = frames.at(frame) + offset;
      target.set(frames.bytes.subarray(from, from + count), done);
      this.#blocks.unpin(frame);
      done += count;
    }
    return Math.max(0, length);
  }

  /**
   * Copies in from `position` on, the size aside; blocks that are written whole, or `fresh`, are not fetched. Says in
   * `progress` how far it came, also when it fails.
   */
  write(position: number, source: Uint8Array<ArrayBuffer>, fresh: boolean, progress: { done: number }): void {
    const { frames } = this.#blocks;
    for (progress.done = 0; progress.done < source.length; ) {
      const { done } = progress;
      const index = Math.floor((position + done) / BLOCK_BYTES);
      const offset = (position + done) % BLOCK_BYTES;
      const count = Math.min(BLOCK_BYTES - offset, source.length - done);
      const frame = this.pinForWriting(index, fresh || count === BLOCK_BYTES);
      frames.bytes.set(
        count === source.length ? source : source.subarray(done, done + count),
        frames.at(frame) + offset,
      );
      this.#blocks.unpin(frame);
      progress.done += count;
    }
  }

  /** The frame of a block, pinned and marked as changed; its old content is not fetched when it is `whole`. */
  pinForWriting(index: number, whole: boolean): number {
    if (index >= BLOCKS_MAX) {
      throw new SystemError('EFBIG', -constants.errno.EFBIG, 'write', this.path);
    }
    this.cover(index + 1);
    const frame = whole ? this.#blocks.pinFresh(this, index) : this.#blocks.pin(this, 0, index);
    this.#blocks.frames.dirty(frame);
    return frame;
  }

  /** Adds levels until the tree has room for so many blocks: it has for as many as its size tells, at any time. */
  cover(blocks: number): void {
    while (blocks > FANOUT ** this.height) this.#grow();
  }

  /**
   * Gives back every block from number `first` on. Cut short by the host, it leaves holes there. No such block may be
   * held.
   */
  cut(first: number): void {
    const { height } = this;
    if (first < FANOUT ** height) this.#cut(height, 0, first);
    if (first === 0) this.height = 0;
  }

  /** Zeroes the rest of the block in which the file ends, so that nothing shows when it grows again. */
  zeroFrom(size: number): void {
    if (size % BLOCK_BYTES === 0) return;
    const frame = this.pinForWriting(Math.floor(size / BLOCK_BYTES), false);
    const at = this.#blocks.frames.at(frame);
    this.#blocks.frames.bytes.fill(0, at + (size % BLOCK_BYTES), at + BLOCK_BYTES);
    this.#blocks.unpin(frame);
  }

  /** A block of `first` or beyond that someone holds, or -1. */
  heldFrom(first: number): number {
    const { frames } = this.#blocks;
    for (let frame = 0; this.mapped > 0 && frame < frames.count; frame++) {
      if (frames.owners[frame] !== this.slot || frames.levels[frame] !== 0 || frames.indexes[frame]! < first)
        continue;
      if (frames.pins[frame]! > (frames.flights[frame] === 0 ? 0 : 1)) return frames.indexes[frame]!;
    }
    return -1;
  }

  /** Adds a level on top. */
  #grow(): void {
    const { frames } = this.#blocks;
    const { height, entryAt } = this;
    if (height === HEIGHT_MAX) throw new RangeError(`a tree of more than ${HEIGHT_MAX} levels`);
    const top = frames.find(this, height, 0);
    if (top < 0 && this.#blocks.slotAt(entryAt) === 0) {
      this.height = height + 1;
      return;
    }
    if (top >= 0) frames.pins[top]! += 1;
    try {
      const frame = this.#blocks.takeFrame();
      const at = frames.at(frame);
      frames.bytes.fill(0, at, at + BLOCK_BYTES);
      frames.bytes.copyWithin(at, entryAt, entryAt + Entry.bytes);
      frames.bytes.fill(0, entryAt, entryAt + Entry.bytes);
      this.height = height + 1;
      frames.install(frame, this, height + 1, 0, -1);
      frames.dirty(frame);
      if (top >= 0) frames.moveBelow(top, frame);
    } finally {
      if (top >= 0) frames.pins[top]! -= 1;
    }
  }

  /** Below one block, gives back what lies at `first` or beyond. */
  #cut(level: number, index: number, first: number): void {
    const span = FANOUT ** level;
    if (index * span >= first) return this.#remove(level, index);
    if (level === 0) return;
    this.#below(level, index, (child) => {
      if ((child + 1) * (span / FANOUT) > first) this.#cut(level - 1, child, first);
    });
  }

  /** Gives back a block and all below it. */
  #remove(level: number, index: number): void {
    const { frames, slots } = this.#blocks;
    const above = level === this.height ? -1 : frames.find(this, level + 1, Math.floor(index / FANOUT));
    const entryAt = this.#blocks.entryAt(this, above, index);
    const slot = this.#blocks.slotAt(entryAt);
    if (level > 0 && (slot !== 0 || frames.find(this, level, index) >= 0)) {
      this.#below(level, index, (child) => this.#remove(level - 1, child));
    }
    const frame = frames.find(this, level, index);
    if (frame >= 0) this.#blocks.discard(frame);
    const after = this.#blocks.slotAt(entryAt);
    if (after === 0) return;
    slots.release(after);
    frames.bytes.fill(0, entryAt, entryAt + Entry.bytes);
    if (above >= 0) frames.dirty(above);
    this.changed();
  }

  /** Calls `each` with the number of every block that the index block has or that is in a frame. */
  #below(level: number, index: number, each: (child: number) => void): void {
    const { frames } = this.#blocks;
    const frame = this.#blocks.pin(this, level, index);
    try {
      for (let child = index * FANOUT; child < (index + 1) * FANOUT; child++) {
        const used = this.#blocks.slotAt(this.#blocks.entryAt(this, frame, child)) !== 0;
        if (used || frames.find(this, level - 1, child) >= 0) each(child);
      }
    } finally {
      this.#blocks.unpin(frame);
    }
  }

  #number(field: number): number {
    return readNumber(this.#blocks.frames.view, this.#record + field);
  }

  #setNumber(field: number, value: number): void {
    writeNumber(this.#blocks.frames.view, this.#record + field, value);
    this.changed();
  }
}
