import { FileTamperedError, MemoryError } from '../../errors.ts';
import { PROTECTED_BATCH_BLOCKS } from '../../limits.ts';
import { memoryOf } from '../../linux/addresses.ts';
import type { BlockFile, StartedRead } from './block-file.ts';
import type { MountLock } from './books.ts';
import { BLOCK_BYTES, Entry, FANOUT, FileRecord, RECORDS_PER_BLOCK, Root } from './format.ts';
import type { Frames } from './frames.ts';
import { Incoming, PIECE_BLOCKS } from './incoming.ts';
import type { Keys } from './keys.ts';
import type { Patience } from './patience.ts';
import type { Slots } from './slots.ts';
import { Tree } from './tree.ts';
import { WriteBack } from './write-back.ts';

/** Thrown where a change must wait for the store and may not: {@link Blocks.attempt} waits and tries again. */
class Wait {
  /** What is waited for; undefined when frames are to be written out. */
  read: StartedRead | undefined;
}

/** Slots that lie in a row, a piece at most. */
interface Piece {
  readonly slot: number;
  readonly count: number;
}

/** After so many blocks in order, what follows is read before it is asked for. */
const AHEAD_USED_MIN: number = PIECE_BLOCKS;
/** So that the host has as long for a piece as it takes to open one, or longer. */
const AHEAD_PIECES = 2;
/** A scan is a read in order for some time, in pieces of 64 KiB or more, of a file that the cache cannot keep. */
const SCAN_USED_MIN: number = 4 * PIECE_BLOCKS;
const SCAN_BLOCKS_MIN: number = PIECE_BLOCKS;
const SCAN_CACHES_MIN = 2;
/** After so many waits an operation waits in place: others kept taking the frames that it waited for. */
const ATTEMPTS_MAX = 1000;

/**
 * The blocks of a mount: in frames, or sealed in slots of the store. Each block is opened against the nonce and the tag
 * in its entry, which lies in the block above it, up to the root in private memory: an old block, another's block or a
 * changed one does not open (Merkle, 1987). A block that was changed is sealed into a free slot, never over its old self.
 */
export class Blocks {
  readonly frames: Frames;
  readonly keys: Keys;
  readonly slots: Slots;
  readonly file: BlockFile;
  readonly writeBack: WriteBack;
  readonly #path: string;
  readonly #lock: MountLock;
  /** This thread's objects of files in use, by their entries; those of files that are not any more are of no use. */
  readonly #trees: (Tree | undefined)[] = [];
  readonly #views: Uint8Array<ArrayBuffer>[];
  readonly #incoming: Incoming;
  readonly #wait = new Wait();
  /** What the next load starts to read ahead. */
  readonly #ahead: Piece[] = [];
  /** Whether the store may be waited for in place. */
  #blocking = true;

  /** `path` is what errors call the mount. */
  constructor(frames: Frames, keys: Keys, slots: Slots, file: BlockFile, path: string) {
    this.#path = path;
    this.#lock = frames.lock;
    this.frames = frames;
    this.keys = keys;
    this.slots = slots;
    this.file = file;
    this.writeBack = new WriteBack(this);
    this.#incoming = new Incoming(file);
    const { staging } = frames;
    this.#views = Array.from({ length: PROTECTED_BATCH_BLOCKS + 1 }, (_, count) =>
      frames.bytes.subarray(staging, staging + count * BLOCK_BYTES),
    );
  }

  /**
   * The frame of a block, pinned until {@link unpin}. A block that was never written is all zero. So many are `wanted`
   * from it on, and may come along.
   */
  pin(tree: Tree, level: number, index: number, wanted = 1): number {
    if (level === 0) tree.use(index, 1);
    let frame = this.frames.find(tree, level, index);
    if (frame >= 0) this.frames.touch(frame);
    else frame = this.#fault(tree, level, index, wanted);
    this.frames.pins[frame]! += 1;
    return frame;
  }

  /** As {@link pin} for a block that will be overwritten: it is zero unless it is in a frame, and not fetched. */
  pinFresh(tree: Tree, index: number): number {
    let frame = this.frames.find(tree, 0, index);
    if (frame >= 0) {
      this.frames.touch(frame);
    } else {
      const above = this.#pinAbove(tree, 0, index);
      try {
        frame = this.#bringZero(tree, 0, index, above);
      } finally {
        if (above >= 0) this.unpin(above);
      }
    }
    this.frames.pins[frame]! += 1;
    return frame;
  }

  unpin(frame: number): void {
    this.frames.pins[frame]! -= 1;
  }

  /** Where the entry of a block lies, given the frame above it. */
  entryAt(tree: Tree, above: number, index: number): number {
    return above < 0 ? tree.entryAt : this.frames.at(above) + (index % FANOUT) * Entry.bytes;
  }

  slotAt(entryAt: number): number {
    return this.frames.view.getUint32(entryAt, true);
  }

  /** A frame to install a block in. What is evicted for it is written out first, in a batch. */
  takeFrame(): number {
    const free = this.frames.take();
    if (free >= 0) return free;
    const victim = this.frames.victim();
    if (victim < 0) {
      throw new MemoryError('SGXIO_MEMORY_EXHAUSTED', 'every block of the cache is mapped; unmap some');
    }
    if (this.frames.isDirty(victim)) {
      try {
        if (!this.#blocking) throw this.#waitForRoom();
        this.writeBack.writeOut(this.writeBack.batchAround(victim));
      } catch (error) {
        this.frames.spare(victim);
        throw error;
      }
    }
    this.#drop(victim, false);
    return this.frames.take();
  }

  /** Forgets a block without writing it. */
  discard(frame: number): void {
    this.writeBack.flights.forget(frame);
    this.#drop(frame, true);
  }

  /** The file with an entry in the tables of files in use. */
  treeOf(slot: number): Tree {
    const { trees } = this.frames;
    const known = this.#trees[slot];
    if (
      known !== undefined &&
      known.number === trees.numbers[slot] &&
      known.recordFrame === trees.recordFrames[slot]
    )
      return known;
    const number = trees.numbers[slot]!;
    const tree = new Tree(this, slot, `file ${number} of ${this.#path}`, this.#recordAt(slot));
    this.#trees[slot] = tree;
    return tree;
  }

  #recordAt(slot: number): number {
    const { frames } = this;
    const frame = frames.trees.recordFrames[slot]!;
    if (frame < 0) return frames.root + Root.table;
    return frames.at(frame) + (frames.trees.numbers[slot]! % RECORDS_PER_BLOCK) * FileRecord.bytes;
  }

  /** A file has no user any more, or no block: when it has neither, the frame of its record is let go. */
  letGo(slot: number): void {
    const { trees } = this.frames;
    if (trees.frames[slot]! > 0 || trees.users[slot]! > 0) return;
    const recordFrame = trees.recordFrames[slot]!;
    trees.remove(slot);
    this.unpin(recordFrame);
  }

  /**
   * Runs an operation that may need the store, without keeping the thread waiting: where it would wait, it is given
   * up, waited for, and run again. It changes nothing before all that it needs is in frames, or goes on where it was.
   */
  async attempt<Result>(operation: () => Result, check: () => void, patience: Patience): Promise<Result> {
    for (let attempts = 0; ; attempts++) {
      let waiting: Promise<void>;
      this.#lock.take();
      try {
        patience.check();
        check();
        this.#blocking = attempts >= ATTEMPTS_MAX;
        return operation();
      } catch (error) {
        if (error !== this.#wait) throw error;
        waiting = this.#wait.read?.arrived() ?? this.writeBack.flushAsync();
      } finally {
        this.#blocking = true;
        this.#lock.give();
      }
      await patience.waitFor(waiting);
    }
  }

  close(): void {
    this.#incoming.close();
  }

  /** Runs part of an operation that is not to be given up half-way: it waits for the store in place. */
  inPlace<Result>(operation: () => Result): Result {
    const blocking = this.#blocking;
    this.#blocking = true;
    try {
      return operation();
    } finally {
      this.#blocking = blocking;
    }
  }

  /**
   * Reads whole blocks into `target` from `at` on, as many as lie in a row in the store, and says how many: where a
   * file that is much larger than the cache is read in order and in large pieces, they go past the cache, which they
   * would only sweep. 0 where that is not so.
   */
  scan(tree: Tree, index: number, wanted: number, target: Uint8Array<ArrayBuffer>, at: number): number {
    if (wanted < SCAN_BLOCKS_MIN || tree.usedBefore(index) < SCAN_USED_MIN) return 0;
    if (tree.size < SCAN_CACHES_MIN * this.frames.count * BLOCK_BYTES) return 0;
    const above = this.#pinAbove(tree, 0, index);
    try {
      const entryAt = this.entryAt(tree, above, index);
      const count = this.#countRun(tree, index, entryAt, Math.min(wanted, this.#runMax));
      if (count < SCAN_BLOCKS_MIN) return 0;
      this.#locateAhead(tree, index + count);
      const into = target.subarray(at, at + count * BLOCK_BYTES);
      const opened = this.#openRun(tree, index, entryAt, into) || this.#openAgain(tree, index, entryAt, into);
      tree.use(index, opened);
      return opened;
    } finally {
      if (above >= 0) this.unpin(above);
    }
  }

  /**
   * Brings sealed blocks into memory of the program, opens them there, in place, and says how many. A block that does
   * not open ends the run; the first one is an error, unless it was read early: then it may do so the next time.
   */
  #openRun(tree: Tree, index: number, entryAt: number, into: Uint8Array<ArrayBuffer>): number {
    let at = 0;
    try {
      this.#load(entryAt, into);
      const memory = memoryOf(into);
      for (; at < into.length; at += BLOCK_BYTES) {
        const block = at / BLOCK_BYTES;
        this.#incoming.require(block);
        const nonceAt = entryAt + block * Entry.bytes + Entry.nonce;
        const tagAt = entryAt + block * Entry.bytes + Entry.tag;
        const cipher = this.keys.forOpening(tree, nonceAt);
        if (!cipher.openWithin(memory, into.byteOffset + at, BLOCK_BYTES, nonceAt, tagAt))
          throw tampered(tree, 0, index + block);
      }
    } catch (error) {
      if (at === 0 && !this.#isOld(error)) throw error;
    } finally {
      this.#incoming.end();
      into.fill(0, at);
    }
    return at / BLOCK_BYTES;
  }

  #openAgain(tree: Tree, index: number, entryAt: number, into: Uint8Array<ArrayBuffer>): number {
    return this.inPlace(() => this.#openRun(tree, index, entryAt, into));
  }

  /** Whether a block did not open that was read early: what lies in its slot now is to be tried. */
  #isOld(error: unknown): boolean {
    return error instanceof FileTamperedError && this.#incoming.isEarly;
  }

  #fault(tree: Tree, level: number, index: number, wanted: number): number {
    const above = this.#pinAbove(tree, level, index);
    try {
      const entryAt = this.entryAt(tree, above, index);
      if (this.slotAt(entryAt) === 0) return this.#bringZero(tree, level, index, above);
      if (level > 0 || above < 0) return this.#bring(tree, level, index, above, 1);
      return this.#bringRun(tree, index, above, wanted);
    } finally {
      if (above >= 0) this.unpin(above);
    }
  }

  /** Brings as many blocks as are wanted, or twice as many as were used in order before. */
  #bringRun(tree: Tree, index: number, above: number, wanted: number): number {
    const used = tree.usedBefore(index);
    const most = Math.min(Math.max(wanted, 2 * used), this.#runMax, this.frames.count >> 3);
    const count = Math.max(1, this.#countRun(tree, index, this.entryAt(tree, above, index), most));
    if (used >= AHEAD_USED_MIN) this.#locateAhead(tree, index + count);
    return this.#bring(tree, 0, index, above, count);
  }

  #pinAbove(tree: Tree, level: number, index: number): number {
    return level === tree.height ? -1 : this.pin(tree, level + 1, Math.floor(index / FANOUT));
  }

  #bringZero(tree: Tree, level: number, index: number, above: number): number {
    const frame = this.takeFrame();
    const at = this.frames.at(frame);
    this.frames.bytes.fill(0, at, at + BLOCK_BYTES);
    this.frames.install(frame, tree, level, index, above);
    return frame;
  }

  /** Who does not wait in place brings one piece at a time. */
  get #runMax(): number {
    return this.#blocking ? PROTECTED_BATCH_BLOCKS : PIECE_BLOCKS;
  }

  /** How many blocks lie in a row in the store, one after the other in one index block, and in no frame. */
  #countRun(tree: Tree, index: number, entryAt: number, most: number): number {
    const slot = this.slotAt(entryAt);
    const end = Math.min(most, FANOUT - (index % FANOUT));
    if (slot === 0) return 0;
    let count = 0;
    while (
      count < end &&
      this.slotAt(entryAt + count * Entry.bytes) === slot + count &&
      this.frames.find(tree, 0, index + count) < 0
    ) {
      count++;
    }
    return count;
  }

  /** Finds out what {@link #load} is to read ahead: the pieces of a file from a block on. */
  #locateAhead(tree: Tree, index: number): void {
    this.#ahead.length = 0;
    let next = index;
    while (this.#ahead.length < AHEAD_PIECES && next * BLOCK_BYTES < tree.size) {
      const piece = this.#locatePiece(tree, next);
      if (piece === undefined) return;
      this.#ahead.push(piece);
      next += piece.count;
    }
  }

  #locatePiece(tree: Tree, index: number): Piece | undefined {
    try {
      const above = this.#pinAbove(tree, 0, index);
      const entryAt = this.entryAt(tree, above, index);
      const count = this.#countRun(tree, index, entryAt, PIECE_BLOCKS);
      if (above >= 0) this.unpin(above);
      return count === 0 ? undefined : { slot: this.slotAt(entryAt), count };
    } catch {
      // Who asks for those blocks will hear of it.
      return undefined;
    }
  }

  /** Brings a block into a frame, and blocks after it as long as frames are easily had. */
  #bring(tree: Tree, level: number, index: number, above: number, ahead: number): number {
    const entryAt = this.entryAt(tree, above, index);
    const wanted = this.takeFrame();
    try {
      this.#load(entryAt, this.#views[ahead]!);
      this.#open(tree, level, index, entryAt, 0, wanted);
    } catch (error) {
      this.#incoming.end();
      this.frames.giveBack(wanted);
      if (!this.#isOld(error)) throw error;
      return this.#bringAgain(tree, level, index, above);
    }
    this.frames.install(wanted, tree, level, index, above);
    this.frames.pins[wanted]! += 1;
    for (let count = 1; count < ahead; count++) {
      const frame = this.#takeClean();
      if (frame < 0) break;
      try {
        this.#open(tree, level, index + count, entryAt + count * Entry.bytes, count, frame);
        this.frames.install(frame, tree, level, index + count, above);
      } catch {
        // Who asks for that block will hear of it.
        this.frames.giveBack(frame);
        break;
      }
    }
    this.#incoming.end();
    this.unpin(wanted);
    return wanted;
  }

  #bringAgain(tree: Tree, level: number, index: number, above: number): number {
    return this.inPlace(() => this.#bring(tree, level, index, above, 1));
  }

  /** Has what the host has for an entry and those after it come into private memory. */
  #load(entryAt: number, into: Uint8Array<ArrayBuffer>): void {
    const slot = this.slotAt(entryAt);
    const early = this.#blocking ? undefined : this.#incoming.readEarly(slot, into.length / BLOCK_BYTES);
    if (early === undefined) this.#incoming.start(slot, into);
    for (const ahead of this.#ahead) this.#incoming.readEarly(ahead.slot, ahead.count);
    this.#ahead.length = 0;
    if (early === undefined) return;
    if (!early.isDone) {
      this.#wait.read = early;
      throw this.#wait;
    }
    this.#incoming.start(slot, into);
  }

  #open(tree: Tree, level: number, index: number, entryAt: number, staged: number, frame: number): void {
    const { staging, bytes } = this.frames;
    this.#incoming.require(staged);
    const nonceAt = entryAt + Entry.nonce;
    const from = staging + staged * BLOCK_BYTES;
    const to = this.frames.at(frame);
    const cipher = this.keys.forOpening(tree, nonceAt);
    if (cipher.open(nonceAt, from, BLOCK_BYTES, to, entryAt + Entry.tag)) return;
    bytes.fill(0, to, to + BLOCK_BYTES);
    throw tampered(tree, level, index);
  }

  /** A frame that costs no write, or -1. */
  #takeClean(): number {
    const free = this.frames.take();
    if (free >= 0) return free;
    const victim = this.frames.victim();
    if (victim < 0) return -1;
    if (this.frames.isDirty(victim)) {
      this.frames.spare(victim);
      return -1;
    }
    this.#drop(victim, false);
    return this.frames.take();
  }

  #drop(frame: number, known: boolean): void {
    const owner = this.frames.owners[frame]!;
    this.frames.drop(frame, known);
    this.letGo(owner);
  }

  #waitForRoom(): Wait {
    this.#wait.read = undefined;
    return this.#wait;
  }
}

export function tampered(tree: { path: string }, level: number, index: number): FileTamperedError {
  const block = index * FANOUT ** level;
  return level === 0
    ? new FileTamperedError(tree.path, block, `block ${block} is not what was written there`)
    : new FileTamperedError(
        tree.path,
        block,
        `the index of blocks ${block} to ${block + FANOUT ** level - 1} is not what was written there`,
      );
}
