import { InvalidArgumentError, SgxioError } from '../../errors.ts';
import { PROTECTED_BATCH_BLOCKS, PROTECTED_FRAMES_MIN } from '../../limits.ts';
import type { MappedMemory } from '../../linux/openssl.ts';
import { Word as PolicyWord } from '../memory/layout.ts';
import { createPolicy, type EvictionPolicy } from '../memory/policy.ts';
import type { PrivateRegion } from '../private-memory.ts';
import { BOOK_WORDS, MountLock, MountState, Word } from './books.ts';
import {
  BLOCK_BYTES,
  MARK_BYTES,
  MOUNT_ID_BYTES,
  MOUNT_KEY_BYTES,
  ROOT_BYTES,
  ROOT_SLOTS,
} from './format.ts';
import type { Tree } from './tree.ts';
import { Trees, treeTableBytes } from './trees.ts';

const NONE = -1;
/** Levels of the blocks of one kind of file; those of the table of files are written after those of others. */
const RANKS_PER_KIND = 8;
const POLICY_WORDS = 96;

/** What lies before the frames, each at a multiple of its size. */
const TRANSACTIONS = BOOK_WORDS * 4;
const POLICY: number = TRANSACTIONS + ROOT_SLOTS * 8;
const NEWEST_MARK: number = POLICY + POLICY_WORDS * 4;
const MOUNT_ID: number = NEWEST_MARK + MARK_BYTES;
/** From here on lie secrets. */
const KEY: number = MOUNT_ID + MOUNT_ID_BYTES;
const SCRATCH_KEY: number = KEY + MOUNT_KEY_BYTES;
const ROOT: number = SCRATCH_KEY + MOUNT_KEY_BYTES;
const STAGING: number = Math.ceil((ROOT + ROOT_BYTES) / BLOCK_BYTES) * BLOCK_BYTES;
const POOL: number = STAGING + PROTECTED_BATCH_BLOCKS * BLOCK_BYTES;

/** Of each frame: its Int32 tables, two of them in buckets of up to twice as many; its bytes; two files in use. */
const INT32_TABLES = 13;
const TREES_PER_FRAME = 2;
const BOOKS_PER_FRAME: number = (INT32_TABLES + 2) * 4 + 4 + treeTableBytes(TREES_PER_FRAME);

/** Private memory for a cache of so many blocks. */
export function cacheBytes(blocks: number): number {
  return Math.ceil((POOL + blocks * (BLOCK_BYTES + BOOKS_PER_FRAME)) / BLOCK_BYTES) * BLOCK_BYTES;
}

/**
 * The frames of a mount's buffer cache, shared by all of its files and by all threads (GPUfs, 4): which block is in
 * which, who holds it, and what differs from the store. A block is named by its file, its level and its index; the
 * block above it, whose entry says where it lies, stays in its frame while this one does.
 *
 * All of it lies in one region of private memory, of which each thread has its own views: see books.ts.
 */
export class Frames {
  readonly count: number;
  readonly memory: MappedMemory;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly words: Int32Array<ArrayBuffer>;
  readonly lock: MountLock;
  /** The transaction that each root slot may hold. */
  readonly transactions: Float64Array<ArrayBuffer>;
  /** The tag of the newest root that the store has. */
  readonly newestMark: Uint8Array<ArrayBuffer>;
  readonly mountId: Uint8Array<ArrayBuffer>;
  readonly mountKey: Uint8Array<ArrayBuffer>;
  /** Offsets in the memory: of the root, of 32 bytes for a key, of room for a batch of sealed blocks. */
  readonly root: number;
  readonly key: number;
  readonly staging: number;
  readonly trees: Trees;
  readonly #pool: number;
  /** The file of each frame's block, by its entry in `trees`; -1 when it has none. */
  readonly owners: Int32Array<ArrayBuffer>;
  readonly levels: Uint8Array<ArrayBuffer>;
  readonly indexes: Uint32Array<ArrayBuffer>;
  /** The frame of the block above, or -1 for the top of a tree, whose entry lies in the tree's record. */
  readonly parents: Int32Array<ArrayBuffer>;
  readonly pins: Int32Array<ArrayBuffer>;
  /** The write of the frame that is on its way, or 0. */
  readonly flights: Int32Array<ArrayBuffer>;
  readonly #policy: EvictionPolicy;
  readonly #pageOf: Int32Array<ArrayBuffer>;
  readonly #next: Int32Array<ArrayBuffer>;
  readonly #buckets: Int32Array<ArrayBuffer>;
  readonly #bucketMask: number;
  readonly #dirty: Int32Array<ArrayBuffer>;
  readonly #dirtyAt: Int32Array<ArrayBuffer>;

  constructor({ address, bytes }: PrivateRegion) {
    const { buffer, byteOffset: start } = bytes;
    const count = Math.floor((bytes.length - POOL) / (BLOCK_BYTES + BOOKS_PER_FRAME));
    if (!(count >= PROTECTED_FRAMES_MIN)) {
      throw new InvalidArgumentError(
        `the cache of a protected mount takes ${cacheBytes(PROTECTED_FRAMES_MIN)} bytes or more, not ${bytes.length}`,
      );
    }
    const piece = (offset: number, length: number) => new Uint8Array(buffer, start + offset, length);
    this.count = count;
    this.memory = { address: address - start, buffer };
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer, start, BOOK_WORDS);
    this.lock = new MountLock(this.words);
    this.transactions = new Float64Array(buffer, start + TRANSACTIONS, ROOT_SLOTS);
    this.newestMark = piece(NEWEST_MARK, MARK_BYTES);
    this.mountId = piece(MOUNT_ID, MOUNT_ID_BYTES);
    this.mountKey = piece(KEY, MOUNT_KEY_BYTES);
    this.key = start + SCRATCH_KEY;
    this.root = start + ROOT;
    this.staging = start + STAGING;
    this.#pool = start + POOL;
    let at = this.#pool + count * BLOCK_BYTES;
    const table = (length: number): Int32Array<ArrayBuffer> => {
      at += length * 4;
      return new Int32Array(buffer, at - length * 4, length);
    };
    const byteTable = (): Uint8Array<ArrayBuffer> => {
      at += count;
      return new Uint8Array(buffer, at - count, count);
    };
    this.owners = table(count);
    this.parents = table(count);
    this.pins = table(count);
    this.flights = table(count);
    this.#pageOf = table(count);
    this.#next = table(count);
    this.#dirty = table(count);
    this.#dirtyAt = table(count);
    this.indexes = new Uint32Array(buffer, table(count).byteOffset, count);
    const policy = { newer: table(count), older: table(count), ...ghosts(count, table) };
    this.#buckets = table(2 ** Math.ceil(Math.log2(count)));
    this.#bucketMask = this.#buckets.length - 1;
    this.trees = new Trees(buffer, at, TREES_PER_FRAME * count, this.words);
    at += treeTableBytes(this.trees.capacity);
    this.levels = byteTable();
    this.#policy = createPolicy('s3-fifo', {
      frames: count,
      words: new Int32Array(buffer, start + POLICY, POLICY_WORDS),
      pins: this.pins,
      pageOf: this.#pageOf,
      policy: { ...policy, queue: byteTable(), uses: byteTable() },
    });
  }

  get isOpen(): boolean {
    return this.words[Word.state] === MountState.open;
  }

  /** Makes the cache empty, for a mount that nobody has opened: one that was closed stays closed. */
  format(): void {
    const { words } = this;
    if (words[Word.state] !== MountState.unopened) {
      throw new SgxioError(
        'SGXIO_CLOSED',
        'the mount was closed by another thread; close it when all are done',
      );
    }
    words.fill(0, Word.state);
    words[Word.newestRoot] = NONE;
    words[Word.rootInFlight] = NONE;
    words[Word.firstFreeFrame] = NONE;
    const policyWords = new Int32Array(words.buffer, words.byteOffset + POLICY, POLICY_WORDS);
    policyWords.fill(0);
    policyWords[PolicyWord.limit] = this.count;
    this.#buckets.fill(NONE);
    this.#dirtyAt.fill(NONE);
    this.pins.fill(0);
    this.flights.fill(0);
    this.trees.format();
    for (let frame = this.count - 1; frame >= 0; frame--) this.#give(frame);
  }

  /** Where a frame lies in the memory. */
  at(frame: number): number {
    return this.#pool + frame * BLOCK_BYTES;
  }

  find(tree: Tree, level: number, index: number): number {
    let frame = this.#buckets[hashOf(tree, level, index) & this.#bucketMask]!;
    while (
      frame >= 0 &&
      (this.indexes[frame] !== index || this.owners[frame] !== tree.slot || this.levels[frame] !== level)
    ) {
      frame = this.#next[frame]!;
    }
    return frame;
  }

  touch(frame: number): void {
    this.#policy.touch(frame);
  }

  /** A free frame, or -1: it is the caller's to install or to give back. */
  take(): number {
    const frame = this.words[Word.firstFreeFrame]!;
    if (frame < 0) return NONE;
    this.words[Word.firstFreeFrame] = this.#next[frame]!;
    return frame;
  }

  giveBack(frame: number): void {
    this.#give(frame);
  }

  /** Gives a frame to a block; the frame of the block above, or -1, is pinned as long as it stays. */
  install(frame: number, tree: Tree, level: number, index: number, parent: number): void {
    const hash = hashOf(tree, level, index);
    const bucket = hash & this.#bucketMask;
    this.owners[frame] = tree.slot;
    this.levels[frame] = level;
    this.indexes[frame] = index;
    this.parents[frame] = parent;
    this.pins[frame] = 0;
    this.#next[frame] = this.#buckets[bucket]!;
    this.#buckets[bucket] = frame;
    this.#pageOf[frame] = hash;
    if (parent >= 0) this.pins[parent]! += 1;
    this.trees.frames[tree.slot]! += 1;
    this.#policy.insert(frame, hash);
  }

  /** A frame that nobody holds, to be dropped or put back; -1 when all are held. */
  victim(): number {
    return this.#policy.victim();
  }

  /** The victim stays after all. */
  spare(frame: number): void {
    this.#policy.insert(frame, this.#pageOf[frame]!);
  }

  /** Forgets what is in a frame, which the policy knows (`known`) or has just given up. */
  drop(frame: number, known: boolean): void {
    if (known) this.#policy.remove(frame);
    this.clean(frame);
    const owner = this.owners[frame]!;
    const bucket = this.#pageOf[frame]! & this.#bucketMask;
    if (this.#buckets[bucket] === frame) {
      this.#buckets[bucket] = this.#next[frame]!;
    } else {
      let before = this.#buckets[bucket]!;
      while (this.#next[before] !== frame) before = this.#next[before]!;
      this.#next[before] = this.#next[frame]!;
    }
    const parent = this.parents[frame]!;
    if (parent >= 0) this.pins[parent]! -= 1;
    this.trees.frames[owner]! -= 1;
    this.#give(frame);
  }

  /** The block above has changed: a tree grew. */
  moveBelow(frame: number, parent: number): void {
    this.parents[frame] = parent;
    this.pins[parent]! += 1;
  }

  isDirty(frame: number): boolean {
    return this.#dirtyAt[frame]! >= 0;
  }

  get dirtyCount(): number {
    return this.words[Word.dirtyFrames]!;
  }

  dirtyFrame(position: number): number {
    return this.#dirty[position]!;
  }

  dirty(frame: number): void {
    if (this.#dirtyAt[frame]! >= 0) return;
    const count = this.words[Word.dirtyFrames]!;
    this.#dirtyAt[frame] = count;
    this.#dirty[count] = frame;
    this.words[Word.dirtyFrames] = count + 1;
  }

  clean(frame: number): void {
    const at = this.#dirtyAt[frame]!;
    if (at < 0) return;
    const count = this.words[Word.dirtyFrames]! - 1;
    const last = this.#dirty[count]!;
    this.words[Word.dirtyFrames] = count;
    this.#dirty[at] = last;
    this.#dirtyAt[last] = at;
    this.#dirtyAt[frame] = NONE;
  }

  /** In which order blocks are written: each before the one that holds its entry. */
  rank(frame: number): number {
    return (this.owners[frame] === 0 ? RANKS_PER_KIND : 0) + this.levels[frame]!;
  }

  /** Leaves nothing of the files in memory. */
  wipe(): void {
    this.mountKey.fill(0);
    this.bytes.fill(0, this.root, this.at(this.count));
  }

  #give(frame: number): void {
    this.owners[frame] = NONE;
    this.#pageOf[frame] = NONE;
    this.#next[frame] = this.words[Word.firstFreeFrame]!;
    this.words[Word.firstFreeFrame] = frame;
  }
}

export const RANKS: number = 2 * RANKS_PER_KIND;

function ghosts(
  frames: number,
  table: (length: number) => Int32Array<ArrayBuffer>,
): { ghostPage: Int32Array<ArrayBuffer>; ghostTime: Int32Array<ArrayBuffer> } {
  const count = 2 ** Math.floor(Math.log2(frames));
  return { ghostPage: table(count), ghostTime: table(count) };
}

function hashOf(tree: Tree, level: number, index: number): number {
  return (
    (Math.imul(index + level * 0x2f0b4a27 + 1, 0x9e3779b1) ^ Math.imul(tree.number + 1, 0x85ebca6b)) >>> 3
  );
}
