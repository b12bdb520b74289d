import { InvalidArgumentError } from '../../errors.ts';
import { PROTECTED_BATCH_BLOCKS, PROTECTED_FRAMES_MIN } from '../../limits.ts';
import type { MappedMemory } from '../../linux/openssl.ts';
import { Word } from '../memory/layout.ts';
import { createPolicy, type EvictionPolicy } from '../memory/policy.ts';
import type { PrivateRegion } from '../private-memory.ts';
import { BLOCK_BYTES, ROOT_BYTES, RootHeader } from './format.ts';
import type { Tree } from './tree.ts';

const NONE = -1;
/** Levels of the blocks of one kind of file; those of the table of files are written after those of others. */
const RANKS_PER_KIND = 8;
const POLICY_WORDS = 96;
const ROOT_ROOM: number = RootHeader.bytes + ROOT_BYTES;
const KEY_ROOM = 64;
const FIXED_BYTES: number = ROOT_ROOM + KEY_ROOM + PROTECTED_BATCH_BLOCKS * BLOCK_BYTES;

/** Private memory for a cache of so many blocks. */
export function cacheBytes(blocks: number): number {
  return Math.ceil(FIXED_BYTES / BLOCK_BYTES) * BLOCK_BYTES + blocks * BLOCK_BYTES;
}

/**
 * The frames of a mount's buffer cache, shared by all of its files (GPUfs, 4): which block is in which, who holds it,
 * and what differs from the store. A block is named by its tree, its level and its index; the block above it, whose
 * entry says where it lies, stays in its frame while this one does.
 */
export class Frames {
  readonly count: number;
  readonly memory: MappedMemory;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** Offsets in the memory: of the root, of 32 bytes for a key, of room for a batch of sealed blocks, of the frames. */
  readonly root: number;
  readonly key: number;
  readonly staging: number;
  readonly #pool: number;
  readonly trees: (Tree | undefined)[];
  readonly levels: Uint8Array<ArrayBuffer>;
  readonly indexes: Uint32Array<ArrayBuffer>;
  /** The frame of the block above, or -1 for the top of a tree, whose entry lies in the tree's record. */
  readonly parents: Int32Array<ArrayBuffer>;
  readonly pins: Int32Array<ArrayBuffer>;
  /** Writes of the frame that are on their way. */
  readonly flights: Uint8Array<ArrayBuffer>;
  readonly #policy: EvictionPolicy;
  readonly #pageOf: Int32Array<ArrayBuffer>;
  readonly #next: Int32Array<ArrayBuffer>;
  readonly #buckets: Int32Array<ArrayBuffer>;
  readonly #bucketMask: number;
  readonly #dirty: Int32Array<ArrayBuffer>;
  readonly #dirtyAt: Int32Array<ArrayBuffer>;
  #dirtyCount = 0;
  #firstFree = NONE;
  #freeCount = 0;

  constructor({ address, bytes }: PrivateRegion) {
    const start = bytes.byteOffset;
    this.memory = { address: address - start, buffer: bytes.buffer };
    this.bytes = new Uint8Array(bytes.buffer);
    this.view = new DataView(bytes.buffer);
    this.root = start;
    this.key = start + ROOT_ROOM;
    this.staging = this.key + KEY_ROOM;
    this.#pool = start + Math.ceil(FIXED_BYTES / BLOCK_BYTES) * BLOCK_BYTES;
    const count = Math.floor((start + bytes.length - this.#pool) / BLOCK_BYTES);
    if (!(count >= PROTECTED_FRAMES_MIN)) {
      throw new InvalidArgumentError(
        `the cache of a protected mount takes ${cacheBytes(PROTECTED_FRAMES_MIN)} bytes or more, not ${bytes.length}`,
      );
    }
    this.count = count;
    this.trees = new Array<Tree | undefined>(count).fill(undefined);
    this.levels = new Uint8Array(count);
    this.indexes = new Uint32Array(count);
    this.parents = new Int32Array(count);
    this.pins = new Int32Array(count);
    this.flights = new Uint8Array(count);
    this.#pageOf = new Int32Array(count).fill(NONE);
    this.#next = new Int32Array(count);
    const buckets = 2 ** Math.ceil(Math.log2(count));
    this.#buckets = new Int32Array(buckets).fill(NONE);
    this.#bucketMask = buckets - 1;
    this.#dirty = new Int32Array(count);
    this.#dirtyAt = new Int32Array(count).fill(NONE);
    this.#policy = createPolicy('s3-fifo', this.#policyLayout(count));
    for (let frame = count - 1; frame >= 0; frame--) this.#give(frame);
  }

  #policyLayout(count: number): Parameters<typeof createPolicy>[1] {
    const words = new Int32Array(POLICY_WORDS);
    words[Word.limit] = count;
    const ghosts = 2 ** Math.floor(Math.log2(count));
    return {
      frames: count,
      words,
      pins: this.pins,
      pageOf: this.#pageOf,
      policy: {
        queue: new Uint8Array(count),
        uses: new Uint8Array(count),
        newer: new Int32Array(count),
        older: new Int32Array(count),
        ghostPage: new Int32Array(ghosts),
        ghostTime: new Int32Array(ghosts),
      },
    };
  }

  /** Where a frame lies in the memory. */
  at(frame: number): number {
    return this.#pool + frame * BLOCK_BYTES;
  }

  get free(): number {
    return this.#freeCount;
  }

  find(tree: Tree, level: number, index: number): number {
    let frame = this.#buckets[hashOf(tree, level, index) & this.#bucketMask]!;
    while (
      frame >= 0 &&
      (this.indexes[frame] !== index || this.trees[frame] !== tree || this.levels[frame] !== level)
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
    const frame = this.#firstFree;
    if (frame < 0) return NONE;
    this.#firstFree = this.#next[frame]!;
    this.#freeCount--;
    return frame;
  }

  giveBack(frame: number): void {
    this.#give(frame);
  }

  /** Gives a frame to a block; the frame of the block above, or -1, is pinned as long as it stays. */
  install(frame: number, tree: Tree, level: number, index: number, parent: number): void {
    const hash = hashOf(tree, level, index);
    const bucket = hash & this.#bucketMask;
    this.trees[frame] = tree;
    this.levels[frame] = level;
    this.indexes[frame] = index;
    this.parents[frame] = parent;
    this.pins[frame] = 0;
    this.#next[frame] = this.#buckets[bucket]!;
    this.#buckets[bucket] = frame;
    this.#pageOf[frame] = hash;
    if (parent >= 0) this.pins[parent]! += 1;
    tree.frames++;
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
    const tree = this.trees[frame]!;
    const bucket = hashOf(tree, this.levels[frame]!, this.indexes[frame]!) & this.#bucketMask;
    if (this.#buckets[bucket] === frame) {
      this.#buckets[bucket] = this.#next[frame]!;
    } else {
      let before = this.#buckets[bucket]!;
      while (this.#next[before] !== frame) before = this.#next[before]!;
      this.#next[before] = this.#next[frame]!;
    }
    const parent = this.parents[frame]!;
    if (parent >= 0) this.pins[parent]! -= 1;
    tree.frames--;
    this.trees[frame] = undefined;
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
    return this.#dirtyCount;
  }

  dirtyFrame(position: number): number {
    return this.#dirty[position]!;
  }

  dirty(frame: number): void {
    if (this.#dirtyAt[frame]! >= 0) return;
    this.#dirtyAt[frame] = this.#dirtyCount;
    this.#dirty[this.#dirtyCount++] = frame;
  }

  clean(frame: number): void {
    const at = this.#dirtyAt[frame]!;
    if (at < 0) return;
    const last = this.#dirty[--this.#dirtyCount]!;
    this.#dirty[at] = last;
    this.#dirtyAt[last] = at;
    this.#dirtyAt[frame] = NONE;
  }

  /** In which order blocks are written: each before the one that holds its entry. */
  rank(frame: number): number {
    return (this.trees[frame]!.isTable ? RANKS_PER_KIND : 0) + this.levels[frame]!;
  }

  /** Leaves nothing of the files in memory. */
  wipe(): void {
    this.bytes.fill(0, this.root, this.at(this.count));
  }

  #give(frame: number): void {
    this.#pageOf[frame] = NONE;
    this.#next[frame] = this.#firstFree;
    this.#firstFree = frame;
    this.#freeCount++;
  }
}

export const RANKS: number = 2 * RANKS_PER_KIND;

function hashOf(tree: Tree, level: number, index: number): number {
  return (
    (Math.imul(index + level * 0x2f0b4a27 + 1, 0x9e3779b1) ^ Math.imul(tree.number + 1, 0x85ebca6b)) >>> 3
  );
}
