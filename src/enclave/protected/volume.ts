import { constants } from 'node:os';
import { FileStaleError, InvalidArgumentError, SgxioError, SystemError } from '../../errors.ts';
import { PROTECTED_BATCH_BLOCKS, PROTECTED_FILES_MAX } from '../../limits.ts';
import type { BlockFile } from './block-file.ts';
import { Blocks } from './blocks.ts';
import { MountState, Word } from './books.ts';
import { Directories } from './directory.ts';
import {
  BLOCK_BYTES,
  FANOUT,
  FIRST_NUMBER,
  FileKind,
  MOUNT_KEY_BYTES,
  ORPHANS,
  RECORDS_PER_BLOCK,
  ROOT_DIRECTORY,
  ROOT_SLOTS,
  TABLE,
} from './format.ts';
import { type Frames, RANKS } from './frames.ts';
import { findStaleness, type MonotonicCounter, NO_MARK, type StalePolicy } from './freshness.ts';
import { RootRecords, RootState } from './root.ts';
import { createSlotMemory, type Released, Slots } from './slots.ts';
import type { Tree } from './tree.ts';

export interface VolumeOptions {
  /** 32 bytes. */
  readonly key: Uint8Array<ArrayBuffer>;
  /** What errors call the mount. */
  readonly path: string;
  /** The buffer cache, in private memory. */
  readonly frames: Frames;
  /** Where it is noted which slots are in use; for threads that share the mount, the same on each. */
  readonly slots?: SharedArrayBuffer | undefined;
  readonly counter?: MonotonicCounter | undefined;
  /** `refuse` unless told. */
  readonly stale?: StalePolicy | undefined;
  /** Told of a store that is not the newest, under the policy `warn`. */
  readonly onStale?: ((error: FileStaleError) => void) | undefined;
}

const DIRECTORY_MODE = 0o777;

/** A commit that has started: its writes of blocks, the slots that it lets go, and the root that is to follow. */
interface Begun {
  readonly launched: Promise<unknown>;
  readonly released: Released;
  readonly root: ReturnType<RootRecords['seal']> & { readonly transaction: number };
}

/**
 * The files of a mount by number, in a store whose state changes as a whole: a commit writes every block that differs
 * into free slots, and then one root record that leads to all of them. What a crash leaves is the last root that is
 * whole, and with it everything that it leads to.
 */
export class Volume {
  readonly blocks: Blocks;
  readonly directories: Directories;
  readonly table: Tree;
  readonly path: string;
  readonly #root: RootState;
  readonly #records: RootRecords;
  readonly #slots: Slots;
  readonly #file: BlockFile;
  readonly #counter: MonotonicCounter | undefined;
  readonly #words: Int32Array<ArrayBuffer>;
  /** Why nothing can be committed any more, when this thread found out. */
  #broken: Error | undefined;
  #running: Promise<void> | undefined;
  #following: Promise<void> | undefined;

  private constructor(file: BlockFile, records: RootRecords, options: VolumeOptions) {
    const { frames, slots = createSlotMemory() } = options;
    this.#file = file;
    this.#records = records;
    this.#root = new RootState(frames);
    this.#slots = new Slots(slots);
    this.#counter = options.counter;
    this.#words = frames.words;
    this.path = options.path;
    this.blocks = new Blocks(frames, records.keys, this.#slots, file, options.path);
    this.directories = new Directories(this.blocks);
    this.table = this.blocks.treeOf(TABLE);
    this.table.path = `the table of files of ${options.path}`;
  }

  /** Makes an empty mount of an empty file. */
  static create(file: BlockFile, options: VolumeOptions): Volume {
    const { frames } = options;
    frames.format();
    const volume = new Volume(file, RootRecords.create(frames, checkKey(options.key)), options);
    volume.#format();
    volume.#opened();
    return volume;
  }

  /** Opens the newest state of a mount. */
  static open(file: BlockFile, options: VolumeOptions): Volume {
    const { frames } = options;
    frames.format();
    const records = RootRecords.open(frames, checkKey(options.key), file, options.path);
    const volume = new Volume(file, records, options);
    volume.#checkFreshness(options);
    volume.#opened();
    return volume;
  }

  /** The same mount on another thread, with that thread's own way to the file. */
  static join(file: BlockFile, options: Omit<VolumeOptions, 'key'> & { readonly key?: Uint8Array }): Volume {
    const { frames, key, counter, path } = options;
    if (key !== undefined && !Buffer.from(key).equals(frames.mountKey)) {
      throw new InvalidArgumentError(`${path} is open with another key; give the same on every thread`);
    }
    if ((counter !== undefined) !== (frames.words[Word.counted] !== 0)) {
      throw new InvalidArgumentError(
        `${path} has a monotonic counter on some threads only; protect it with one on every thread, or on none`,
      );
    }
    return new Volume(file, new RootRecords(frames), { ...options, key: frames.mountKey });
  }

  #opened(): void {
    this.#words[Word.counted] = this.#counter === undefined ? 0 : 1;
    this.#words[Word.state] = MountState.open;
  }

  #format(): void {
    const root = this.#root;
    this.#slots.reset(ROOT_SLOTS);
    this.#words[Word.spaceKnown] = 1;
    this.#words[Word.changed] = 1;
    root.count = this.#counter?.read()?.count ?? 0;
    root.nextNumber = FIRST_NUMBER;
    this.blocks.unpin(this.table.pinForWriting(0, true));
    for (const number of [ROOT_DIRECTORY, ORPHANS]) {
      const directory = this.use(number, this.path);
      directory.kind = FileKind.directory;
      directory.mode = DIRECTORY_MODE;
      directory.size = BLOCK_BYTES;
      directory.parent = ROOT_DIRECTORY;
      this.leave(directory);
    }
    this.commit(true);
  }

  #checkFreshness({ stale = 'refuse', onStale, path }: VolumeOptions): void {
    if (this.#counter === undefined) return;
    const value = this.#counter.read();
    const { count, previousMark } = this.#root;
    const mark = this.blocks.frames.newestMark;
    const staleness = findStaleness({ count, mark, previousMark }, value);
    if (staleness !== undefined) {
      const error = new FileStaleError(path, staleness);
      if (stale === 'refuse') throw error;
      if (stale === 'warn') onStale?.(error);
    }
    // What a crash kept from the counter, and what the policy lets pass, is from now on the newest state there is.
    const known = value?.count ?? 0;
    if (count > known) this.#counter.advance({ count, mark: mark.slice() });
    else if (staleness !== undefined) this.#root.count = known;
  }

  /** A file by its number, until {@link leave}. */
  use(number: number, path: string): Tree {
    const { trees } = this.blocks.frames;
    let slot = trees.find(number);
    if (slot < 0) {
      trees.requireRoom(path);
      const frame = this.blocks.pin(this.table, 0, Math.floor(number / RECORDS_PER_BLOCK));
      slot = trees.add(number, frame);
      this.blocks.treeOf(slot).path = path;
    }
    trees.users[slot]! += 1;
    return this.blocks.treeOf(slot);
  }

  leave(tree: Tree): void {
    tree.users -= 1;
    this.blocks.letGo(tree.slot);
  }

  /** A new file without a name, to be left like one that was used. */
  createFile(kind: number, mode: number, parent: number, path: string, now: number): Tree {
    const root = this.#root;
    const reused = root.firstFree;
    const number = reused === 0 ? root.nextNumber : reused;
    if (number >= PROTECTED_FILES_MAX) throw noSpace(path);
    const isFirst = reused === 0 && number % RECORDS_PER_BLOCK === 0;
    this.blocks.unpin(this.table.pinForWriting(Math.floor(number / RECORDS_PER_BLOCK), isFirst));
    const tree = this.use(number, path);
    if (reused === 0) root.nextNumber = number + 1;
    else root.firstFree = tree.nextFree;
    tree.nextFree = 0;
    tree.path = path;
    tree.kind = kind;
    tree.mode = mode;
    tree.parent = parent;
    tree.size = kind === FileKind.directory ? BLOCK_BYTES : 0;
    for (const time of ['accessed', 'modified', 'changed', 'born'] as const) tree.setTime(time, now);
    return tree;
  }

  /** Gives a file back that nothing names and nobody has open. Until its blocks are free, it stays what it is. */
  destroyFile(tree: Tree): void {
    tree.cut(0);
    const root = this.#root;
    tree.kind = FileKind.free;
    tree.incarnation = tree.incarnation + 1;
    tree.size = 0;
    tree.seals = 0;
    tree.children = 0;
    tree.bucketBits = 0;
    tree.nextFree = root.firstFree;
    root.firstFree = tree.number;
  }

  get nextNumber(): number {
    return this.#root.nextNumber;
  }

  /** Slots of the store, and those of them that no block lies in. */
  get space(): { slots: number; free: number } {
    return this.blocks.frames.lock.run(() => ({ slots: this.#slots.end, free: this.#slots.free }));
  }

  /** To be called before anything is changed. */
  beginChange(): void {
    this.#requireSound();
    if (this.#words[Word.spaceKnown] === 0) this.#learnSpace();
    this.#words[Word.changed] = 1;
  }

  /** Makes everything that was changed the state of the store; `durable`, the machine may stop from then on. */
  commit(durable: boolean): void {
    // What a commit has on its way is not durable yet, and may fail: it is committed once more.
    if (this.#words[Word.changed] === 0 && this.#words[Word.committing] === 0) return;
    this.#requireSound();
    const { writeBack } = this.blocks;
    const quiet = writeBack.flights.allLanded;
    writeBack.flights.distrust();
    for (let rank = 0; rank < RANKS; rank++) writeBack.writeOut(this.#dirtyOf(rank));
    const released = this.#slots.freeze(quiet);
    if (durable) this.#soundly(() => this.#file.sync());
    const { slot, position, record, mark } = this.#sealRoot();
    this.#file.write(position, record);
    if (durable) this.#soundly(() => this.#file.sync());
    this.#words[Word.changed] = 0;
    this.#committed(slot, mark, released);
  }

  /** As {@link commit} while the thread goes on: of the state at a moment between now and the end of it. */
  commitAsync(durable: boolean): Promise<void> {
    if (this.#running === undefined) {
      const running = this.#commitNow(durable).finally(() => {
        this.#running = undefined;
      });
      this.#running = running;
      return running;
    }
    this.#following ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#following = undefined;
        return this.commitAsync(durable);
      });
    return this.#following;
  }

  close(): void {
    this.blocks.close();
    this.#records.keys.close();
    this.blocks.frames.wipe();
  }

  async #commitNow(durable: boolean): Promise<void> {
    const { lock } = this.blocks.frames;
    for (;;) {
      const next = lock.run(() => this.#beginCommit(durable));
      if (next === undefined) return;
      if (!(next instanceof Promise)) return await this.#endCommit(next, durable);
      await next;
    }
  }

  /**
   * Seals all that differs and starts to write it; or says what is to be waited for first. Undefined when nothing is
   * left to do: what another thread has on its way is not waited for, but written again, in place.
   */
  #beginCommit(durable: boolean): Promise<void> | Begun | undefined {
    this.#requireSound();
    const words = this.#words;
    const { frames, writeBack } = this.blocks;
    const { flights } = writeBack;
    if (words[Word.committing] !== 0) {
      this.commit(durable);
      return undefined;
    }
    if (frames.dirtyCount > PROTECTED_BATCH_BLOCKS && this.#dirtyOf(0).length > PROTECTED_BATCH_BLOCKS) {
      return writeBack.flushAsync();
    }
    if (!flights.ownLanded) return flights.settled();
    if (!flights.allLanded) {
      this.commit(durable);
      return undefined;
    }
    if (words[Word.changed] === 0) return undefined;
    const launched: Promise<void>[] = [];
    for (let rank = 0; rank < RANKS; rank++) launched.push(writeBack.launch(this.#dirtyOf(rank)));
    const released = this.#slots.freeze(true);
    const root = this.#sealRoot();
    words[Word.changed] = 0;
    words[Word.committing] = 1;
    this.#records.inFlight = root.slot;
    return { launched: Promise.all(launched), released, root };
  }

  async #endCommit({ launched, released, root }: Begun, durable: boolean): Promise<void> {
    const { lock } = this.blocks.frames;
    try {
      await launched;
      if (durable) await this.#soundlyAsync(() => this.#file.syncAsync());
      // A commit that did not wait for this one has written all of it.
      if (this.#root.transaction !== root.transaction) return;
      await this.#file.writeAsync(root.position, root.record);
      if (durable) await this.#soundlyAsync(() => this.#file.syncAsync());
      lock.run(() => {
        if (this.#root.transaction === root.transaction) this.#committed(root.slot, root.mark, released);
      });
    } catch (error) {
      this.#words[Word.changed] = 1;
      throw error;
    } finally {
      lock.run(() => {
        this.#words[Word.committing] = 0;
        this.#records.inFlight = -1;
      });
    }
  }

  #sealRoot(): ReturnType<RootRecords['seal']> & { transaction: number } {
    const root = this.#root;
    const transaction = root.transaction + 1;
    root.transaction = transaction;
    root.end = this.#slots.end;
    root.previousMark = this.#counter === undefined ? NO_MARK : (this.#counter.read()?.mark ?? NO_MARK);
    const { count } = root;
    if (this.#counter !== undefined) root.count = count + 1;
    const sealed = { ...this.#records.seal(transaction), transaction };
    root.count = count;
    return sealed;
  }

  #committed(slot: number, mark: Uint8Array<ArrayBuffer>, released: Released): void {
    this.#slots.settle(released);
    this.#records.written(slot, mark);
    if (this.#counter === undefined) return;
    this.#root.count += 1;
    this.#counter.advance({ count: this.#root.count, mark });
  }

  #dirtyOf(rank: number): number[] {
    const { frames } = this.blocks;
    const list: number[] = [];
    for (let position = 0; position < frames.dirtyCount; position++) {
      const frame = frames.dirtyFrame(position);
      if (frames.rank(frame) === rank) list.push(frame);
    }
    return this.blocks.writeBack.inFileOrder(list);
  }

  #requireSound(): void {
    if (this.#words[Word.broken] === 0) return;
    throw new SgxioError(
      'SGXIO_CLOSED',
      `${this.path} could not be made durable, and changes nothing more: close it and open it again, as of the last sync`,
      { cause: this.#broken },
    );
  }

  #soundly(sync: () => void): void {
    try {
      sync();
    } catch (error) {
      throw this.#break(error as Error);
    }
  }

  async #soundlyAsync(sync: () => Promise<void>): Promise<void> {
    try {
      await sync();
    } catch (error) {
      throw this.#break(error as Error);
    }
  }

  /** A disk that failed to keep data may have forgotten it, and says so once only. */
  #break(error: Error): Error {
    this.#broken = error;
    this.#words[Word.broken] = 1;
    return error;
  }

  /** Finds out which slots are in use, by reading every index block. When one was damaged, none is written over. */
  #learnSpace(): void {
    this.#slots.reset(Math.max(this.#root.end, ROOT_SLOTS));
    try {
      this.#claimTree(this.table);
      for (let number = ROOT_DIRECTORY; number < this.#root.nextNumber; number++) {
        const tree = this.use(number, `file ${number} of ${this.path}`);
        try {
          if (tree.kind !== FileKind.free) this.#claimTree(tree);
        } finally {
          this.leave(tree);
        }
      }
    } catch (error) {
      if (!(error instanceof SgxioError && error.code === 'SGXIO_FILE_TAMPERED')) throw error;
      this.#slots.claimAll();
    }
    this.#words[Word.spaceKnown] = 1;
  }

  #claimTree(tree: Tree): void {
    const slot = this.blocks.slotAt(tree.entryAt);
    if (slot === 0) return;
    this.#slots.claim(slot);
    if (tree.height > 0) this.#claimBelow(tree, tree.height, 0);
  }

  #claimBelow(tree: Tree, level: number, index: number): void {
    const frame = this.blocks.pin(tree, level, index);
    try {
      for (let child = index * FANOUT; child < (index + 1) * FANOUT; child++) {
        const slot = this.blocks.slotAt(this.blocks.entryAt(tree, frame, child));
        if (slot === 0) continue;
        this.#slots.claim(slot);
        if (level > 1) this.#claimBelow(tree, level - 1, child);
      }
    } finally {
      this.blocks.unpin(frame);
    }
  }
}

function checkKey(key: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (key instanceof Uint8Array && key.length === MOUNT_KEY_BYTES) return key;
  throw new InvalidArgumentError(`the key of a mount has ${MOUNT_KEY_BYTES} bytes`);
}

export function noSpace(path: string): SystemError {
  return new SystemError('ENOSPC', -constants.errno.ENOSPC, 'open', path);
}
