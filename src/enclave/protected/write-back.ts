import { constants } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { SystemError } from '../../errors.ts';
import { PROTECTED_BATCH_BLOCKS } from '../../limits.ts';
import type { Blocks } from './blocks.ts';
import { Flights } from './flights.ts';
import { BLOCK_BYTES, Entry } from './format.ts';
import type { Frames } from './frames.ts';
import { PIECE_BLOCKS } from './incoming.ts';
import { Outgoing } from './outgoing.ts';

/** How long a task waits for writes that other threads have on their way. */
const OTHERS_MILLISECONDS = 1;

/** Brings changed blocks from their frames to the store, each sealed into a free slot, never over its old self. */
export class WriteBack {
  readonly flights: Flights;
  readonly #blocks: Blocks;
  readonly #frames: Frames;
  readonly #outgoing: Outgoing;
  readonly #batch: number[] = [];

  constructor(blocks: Blocks) {
    const { frames, slots, file } = blocks;
    this.#blocks = blocks;
    this.#frames = frames;
    this.#outgoing = new Outgoing(frames, file);
    this.flights = new Flights(frames, slots, file);
  }

  /** Seals frames into free slots, next to each other where there is room, and writes them piece by piece. */
  writeOut(list: readonly number[]): void {
    try {
      for (let done = 0; done < list.length; ) {
        const piece = list.slice(done, done + PIECE_BLOCKS);
        const { first, count } = this.#sealRun(piece, this.#outgoing.room());
        this.#outgoing.start(first, piece.slice(0, count));
        done += count;
      }
    } finally {
      this.#outgoing.end();
    }
  }

  /** Seals the first frames of a list, as many as get slots in a row, into the staging memory from a block on. They stay dirty. */
  #sealRun(list: readonly number[], staged: number): { first: number; count: number } {
    const first = this.#allocate();
    let count = 0;
    for (let slot = first; ; ) {
      this.#seal(list[count]!, slot, staged + count);
      count++;
      if (count === list.length) return { first, count };
      slot = this.#blocks.slots.allocate();
      if (slot < 0) return { first, count };
      if (slot !== first + count) {
        this.#blocks.slots.putBack(slot);
        return { first, count };
      }
    }
  }

  /** Writes out a batch of blocks while the thread goes on; they count as clean meanwhile. */
  flushAsync(): Promise<void> {
    return this.#frames.lock.run(async () => {
      if (this.#frames.dirtyCount === 0) return;
      const list = this.batchAround(this.#frames.dirtyFrame(0)).filter(
        (frame) => this.#frames.flights[frame] === 0,
      );
      if (list.length > 0) await this.launch(list);
      else if (!this.flights.ownLanded) await this.flights.settled();
      else await setTimeout(OTHERS_MILLISECONDS);
    });
  }

  /** Seals frames now; the promise settles when the store has them. */
  async launch(list: readonly number[]): Promise<void> {
    const writes: Promise<void>[] = [];
    try {
      for (let done = 0; done < list.length; ) {
        const batch = list.slice(done, done + PROTECTED_BATCH_BLOCKS);
        const { first, count } = this.#sealRun(batch, 0);
        writes.push(this.flights.start(batch.slice(0, count), first, this.#staged(count)));
        done += count;
      }
    } finally {
      await Promise.all(writes);
    }
  }

  /** A copy of the first blocks of the staging memory. */
  #staged(count: number): Uint8Array<ArrayBuffer> {
    const { bytes, staging } = this.#frames;
    return bytes.slice(staging, staging + count * BLOCK_BYTES);
  }

  /**
   * A dirty frame and others of its rank that may as well be written with it, in the order of their files: its
   * neighbours first, so that what follows in the file follows in the store, and is read back in one run.
   */
  batchAround(frame: number): readonly number[] {
    const frames = this.#frames;
    const batch = this.#batch;
    batch.length = 0;
    batch.push(frame);
    if (frames.rank(frame) !== 0) return batch;
    const owner = frames.owners[frame]!;
    const index = frames.indexes[frame]!;
    const last = this.#addNeighbours(batch, owner, index, 1);
    const first = this.#addNeighbours(batch, owner, index, -1);
    for (
      let position = 0;
      position < frames.dirtyCount && batch.length < PROTECTED_BATCH_BLOCKS;
      position++
    ) {
      const other = frames.dirtyFrame(position);
      const at = frames.indexes[other]!;
      const added = frames.owners[other] === owner && first <= at && at <= last;
      if (!added && frames.rank(other) === 0) batch.push(other);
    }
    return this.inFileOrder(batch);
  }

  /** Adds the dirty blocks next to one of a file, and says which is the last of them. */
  #addNeighbours(batch: number[], owner: number, index: number, step: 1 | -1): number {
    const frames = this.#frames;
    const tree = this.#blocks.treeOf(owner);
    let last = index;
    while (batch.length < PROTECTED_BATCH_BLOCKS) {
      const frame = last + step < 0 ? -1 : frames.find(tree, 0, last + step);
      if (frame < 0 || !frames.isDirty(frame)) break;
      batch.push(frame);
      last += step;
    }
    return last;
  }

  inFileOrder(list: number[]): number[] {
    const { owners, indexes, trees } = this.#frames;
    const numberOf = (frame: number) => trees.numbers[owners[frame]!]!;
    return list.sort((left, right) => numberOf(left) - numberOf(right) || indexes[left]! - indexes[right]!);
  }

  #allocate(): number {
    const slot = this.#blocks.slots.allocate();
    if (slot >= 0) return slot;
    throw new SystemError('ENOSPC', -constants.errno.ENOSPC, 'write', 'the store is as large as it may be');
  }

  #seal(frame: number, slot: number, staged: number): void {
    const { keys } = this.#blocks;
    const frames = this.#frames;
    const tree = this.#blocks.treeOf(frames.owners[frame]!);
    const above = frames.parents[frame]!;
    const entryAt = this.#blocks.entryAt(tree, above, frames.indexes[frame]!);
    const { seals } = tree;
    tree.seals = seals + 1;
    const nonceAt = entryAt + Entry.nonce;
    const cipher = keys.forSealing(tree, seals, nonceAt);
    const output = frames.staging + staged * BLOCK_BYTES;
    cipher.seal(nonceAt, frames.at(frame), BLOCK_BYTES, output, entryAt + Entry.tag);
    const before = this.#blocks.slotAt(entryAt);
    frames.view.setUint32(entryAt, slot, true);
    if (before !== 0) this.#blocks.slots.release(before);
    if (above >= 0) frames.dirty(above);
    if (tree.recordFrame >= 0) frames.dirty(tree.recordFrame);
  }
}
