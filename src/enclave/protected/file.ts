import { InvalidArgumentError, SgxioError, SystemError } from '../../errors.ts';
import { FILE_LOCK_PAUSE_MILLISECONDS_MAX } from '../../limits.ts';
import { sleep } from '../clock.ts';
import { type AsyncCallOptions, type CallOptions, requirePrivate } from '../transfer.ts';
import type { Core } from './core.ts';
import { BLOCK_BYTES } from './format.ts';
import { FileLocks } from './locks.ts';
import { Mapping } from './mapping.ts';
import { setTimes } from './names.ts';
import { failure } from './path.ts';
import { Patience } from './patience.ts';
import { ProtectedStats } from './status.ts';
import { FILE_BYTES_MAX, type Tree } from './tree.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Where in the file, in bytes: left out, where the last such read or write ended. */
export interface AtPosition {
  readonly position?: number;
}

/** When a file was last read and changed, in milliseconds since 1970; left out, that time stays as it is. */
export interface FileTimes {
  readonly accessed?: number;
  readonly modified?: number;
}

/** How a lock is taken: for this file alone, or shared with others that share it. */
export interface LockOptions {
  readonly shared?: boolean;
}

export interface Access {
  readonly read: boolean;
  readonly write: boolean;
  /** Every write goes to the end. */
  readonly append: boolean;
  /** Every write is made durable. */
  readonly synchronous: boolean;
  /** Blocks that are written in part are zero elsewhere, and not fetched. */
  readonly once: boolean;
}

/**
 * An open file of a protected mount. Its blocks lie in the mount's buffer cache, in private memory; the host sees
 * sealed blocks, and changes none without a {@link FileTamperedError}.
 *
 * Every open file of one path sees what the others wrote at once. What was written outlives the enclave from the next
 * `sync` of any file of the mount on, which takes all of the mount from one state to the next.
 */
export class ProtectedFile {
  readonly path: string;
  readonly #core: Core;
  readonly #tree: Tree;
  readonly #access: Access;
  #position = 0;
  #open = true;
  #written = false;

  /** Takes over a use of the tree. */
  constructor(core: Core, tree: Tree, path: string, access: Access) {
    this.#core = core;
    this.#tree = tree;
    this.#access = access;
    this.path = path;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Reads into `buffer` and says how many bytes; fewer than its length only at the end of the file. */
  read(buffer: Bytes, options?: AtPosition & CallOptions): number {
    const tree = this.#readable(buffer);
    const position = this.#positionIn(options);
    const count = this.#core.read(() => tree.read(position, buffer));
    if (options?.position === undefined) this.#position = position + count;
    return count;
  }

  async readAsync(buffer: Bytes, options?: AtPosition & AsyncCallOptions): Promise<number> {
    const tree = this.#readable(buffer);
    const position = this.#positionIn(options);
    if (options?.position === undefined) {
      const left = this.#core.read(() => tree.size) - position;
      this.#position = position + Math.max(0, Math.min(buffer.length, left));
    }
    const patience = new Patience(options);
    let done = 0;
    // Piece by piece: no more is asked of the cache at once than it has room for.
    for (let count = -1; count !== 0 && done < buffer.length; done += count) {
      const piece = buffer.subarray(done, done + PIECE_BYTES);
      count = await this.#core.readAsync(() => tree.read(position + done, piece), patience);
    }
    return done;
  }

  /** Writes `bytes` and says how many: fewer than all only if the store fails meanwhile. */
  write(bytes: Bytes, options?: AtPosition & CallOptions): number {
    this.#writable(bytes);
    const position = this.#positionIn(options);
    const progress = { done: 0 };
    this.#core.change(() => this.#put(bytes, position, progress));
    if (options?.position === undefined) this.#position = position + progress.done;
    if (this.#access.synchronous) this.sync();
    return progress.done;
  }

  async writeAsync(bytes: Bytes, options?: AtPosition & AsyncCallOptions): Promise<number> {
    this.#writable(bytes);
    const position = this.#positionIn(options);
    if (options?.position === undefined) this.#position = position + bytes.length;
    const patience = new Patience(options);
    const progress = { done: 0 };
    do {
      const piece = bytes.subarray(0, progress.done + PIECE_BYTES);
      await this.#core.changeAsync(() => this.#put(piece, position, progress), patience);
      if (progress.done < piece.length) break;
    } while (progress.done < bytes.length);
    if (this.#access.synchronous) await this.#syncWithin(patience);
    return progress.done;
  }

  /** Reads into one buffer after the other. */
  readVectors(buffers: readonly Bytes[], options?: AtPosition & CallOptions): number {
    return overVectors(buffers, options, (buffer, at) => this.read(buffer, at));
  }

  async readVectorsAsync(
    buffers: readonly Bytes[],
    options?: AtPosition & AsyncCallOptions,
  ): Promise<number> {
    return await overVectorsAsync(buffers, options, (buffer, at) => this.readAsync(buffer, at));
  }

  /** Writes one buffer after the other. */
  writeVectors(buffers: readonly Bytes[], options?: AtPosition & CallOptions): number {
    return overVectors(buffers, options, (buffer, at) => this.write(buffer, at));
  }

  async writeVectorsAsync(
    buffers: readonly Bytes[],
    options?: AtPosition & AsyncCallOptions,
  ): Promise<number> {
    return await overVectorsAsync(buffers, options, (buffer, at) => this.writeAsync(buffer, at));
  }

  /** Makes the mount durable as it is now. */
  sync(_options?: CallOptions): void {
    this.#use();
    this.#core.sync();
    this.#written = false;
  }

  async syncAsync(options?: AsyncCallOptions): Promise<void> {
    this.#use();
    await this.#syncWithin(new Patience(options));
  }

  async #syncWithin(patience: Patience): Promise<void> {
    await this.#core.syncAsync(patience);
    this.#written = false;
  }

  /** As {@link sync}: sizes and times belong to the state. */
  syncData(options?: CallOptions): void {
    this.sync(options);
  }

  async syncDataAsync(options?: AsyncCallOptions): Promise<void> {
    await this.syncAsync(options);
  }

  /** Sends the changed blocks of a range to the store, so that the next `sync` has less to do (gmsync of GPUfs). */
  writeBack(position: number, length: number): void {
    const tree = this.#use();
    const first = Math.floor(checkPosition(position, 'position') / BLOCK_BYTES);
    const upTo = position + checkPosition(length, 'length');
    this.#core.read(() => {
      const { blocks } = this.#core.volume;
      const end = Math.ceil(Math.min(upTo, tree.size) / BLOCK_BYTES);
      const list: number[] = [];
      for (let index = first; index < end; index++) {
        const frame = blocks.frames.find(tree, 0, index);
        if (frame >= 0 && blocks.frames.isDirty(frame)) list.push(frame);
      }
      blocks.writeBack.writeOut(list);
    });
  }

  /**
   * Gives the program the block at a position itself, in its frame: at most one, and no more than the file has of it
   * (gmmap of GPUfs). It stays in the cache until it is unmapped.
   */
  map(position: number, options?: { readonly write?: boolean }): Mapping {
    const tree = this.#use();
    checkPosition(position, 'position');
    const write = options?.write === true;
    if (write) this.#requireAccess('write');
    const map = () => {
      if (position >= tree.size)
        throw new InvalidArgumentError('map a block that the file has: truncate it first');
      return new Mapping(this.#core, tree, Math.floor(position / BLOCK_BYTES), write);
    };
    return write ? this.#core.change(map) : this.#core.read(map);
  }

  /** Cuts the file, or fills it up with zeroes, to `length` bytes. Mapped blocks cannot be cut off. */
  truncate(length = 0, _options?: CallOptions): void {
    this.#requireAccess('write');
    const size = checkPosition(length, 'length');
    this.#core.change(() => this.#resize(size));
  }

  async truncateAsync(length = 0, options?: AsyncCallOptions): Promise<void> {
    this.#requireAccess('write');
    const size = checkPosition(length, 'length');
    const { blocks } = this.#core.volume;
    // Half a truncation is nothing to be seen by others: it waits in place.
    await this.#core.changeAsync(() => blocks.inPlace(() => this.#resize(size)), new Patience(options));
  }

  stat(_options?: CallOptions): ProtectedStats {
    const tree = this.#use();
    return this.#core.read(() => new ProtectedStats(tree));
  }

  async statAsync(options?: AsyncCallOptions): Promise<ProtectedStats> {
    return this.stat(options);
  }

  chmod(mode: number, _options?: CallOptions): void {
    const tree = this.#use();
    checkMode(mode);
    this.#core.change(() => {
      tree.mode = mode;
      tree.setTime('changed', this.#core.now());
    });
  }

  async chmodAsync(mode: number, options?: AsyncCallOptions): Promise<void> {
    this.chmod(mode, options);
  }

  setTimes(times: FileTimes, _options?: CallOptions): void {
    const tree = this.#use();
    this.#core.change(() => setTimes(tree, times, this.#core.now()));
  }

  async setTimesAsync(times: FileTimes, options?: AsyncCallOptions): Promise<void> {
    this.setTimes(times, options);
  }

  /** Locks the file against others of this mount, on all threads, that lock it; false when they have it. */
  tryLock(options?: LockOptions & CallOptions): boolean {
    const tree = this.#use();
    return this.#core.read(() => FileLocks.of(tree).take(this, options?.shared === true));
  }

  async tryLockAsync(options?: LockOptions & AsyncCallOptions): Promise<boolean> {
    return this.tryLock(options);
  }

  /**
   * Waits for the lock; late, it fails with ETIMEDOUT. EDEADLK when another open file of this thread has it, which
   * cannot let go meanwhile.
   */
  lock(options?: LockOptions & CallOptions): void {
    const until = performance.now() + (options?.timeout ?? Number.POSITIVE_INFINITY);
    for (
      let pause = 1;
      !this.tryLock(options);
      pause = Math.min(2 * pause, FILE_LOCK_PAUSE_MILLISECONDS_MAX)
    ) {
      if (FileLocks.of(this.#tree).held) throw failure('EDEADLK', 'flock', this.path);
      const left = until - performance.now();
      if (left <= 0) throw failure('ETIMEDOUT', 'flock', this.path);
      sleep(Math.min(pause, left));
    }
  }

  /** Waits for the lock; late, it fails with ETIMEDOUT. */
  async lockAsync(options?: LockOptions & AsyncCallOptions): Promise<void> {
    await FileLocks.of(this.#use()).wait(() => this.tryLock(options), options, this.path);
  }

  unlock(_options?: CallOptions): void {
    const tree = this.#use();
    this.#core.lock.run(() => FileLocks.of(tree).drop(this));
  }

  async unlockAsync(options?: AsyncCallOptions): Promise<void> {
    this.unlock(options);
  }

  /** Closes it; a file that was written is made durable where the mount's durability is `close`. */
  close(): void {
    if (!this.#open) return;
    try {
      if (this.#written && this.#core.durability === 'close') this.#core.sync();
    } finally {
      this.#end();
    }
  }

  async closeAsync(): Promise<void> {
    if (!this.#open) return;
    try {
      if (this.#written && this.#core.durability === 'close') await this.#core.syncAsync(new Patience());
    } finally {
      if (this.#open) this.#end();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #end(): void {
    this.#open = false;
    this.#core.lock.run(() => FileLocks.of(this.#tree).drop(this));
    this.#core.leave(this.#tree);
  }

  /** Goes on with a write from where it is; what was done counts, also when the rest fails. */
  #put(bytes: Bytes, position: number, progress: { done: number }): void {
    const tree = this.#tree;
    const start = progress.done;
    const at = this.#access.append ? tree.size : position + start;
    if (at + bytes.length - start > FILE_BYTES_MAX) throw failure('EFBIG', 'write', this.path);
    const piece = { done: 0 };
    try {
      tree.write(at, start === 0 ? bytes : bytes.subarray(start), this.#access.once, piece);
    } catch (error) {
      if (start + piece.done === 0 || !(error instanceof SystemError)) throw error;
    } finally {
      progress.done = start + piece.done;
      if (piece.done > 0) this.#grown(at + piece.done);
    }
  }

  #grown(end: number): void {
    const tree = this.#tree;
    if (end > tree.size) tree.size = end;
    this.#touched();
  }

  #touched(): void {
    const now = this.#core.now();
    this.#written = true;
    this.#tree.setTime('modified', now);
    this.#tree.setTime('changed', now);
  }

  #resize(size: number): void {
    const tree = this.#tree;
    if (size > FILE_BYTES_MAX) throw failure('EFBIG', 'ftruncate', this.path);
    if (size < tree.size) {
      const first = Math.ceil(size / BLOCK_BYTES);
      if (tree.heldFrom(first) >= 0) throw failure('EBUSY', 'ftruncate', this.path);
      tree.zeroFrom(size);
      tree.cut(first);
    } else {
      tree.cover(Math.ceil(size / BLOCK_BYTES));
    }
    tree.size = size;
    this.#touched();
  }

  #use(): Tree {
    if (!this.#open) throw new SgxioError('SGXIO_CLOSED', 'it was closed before; open it again');
    return this.#tree;
  }

  #readable(buffer: Bytes): Tree {
    requirePrivate(buffer);
    return this.#requireAccess('read');
  }

  #writable(bytes: Bytes): Tree {
    requirePrivate(bytes);
    return this.#requireAccess('write');
  }

  #requireAccess(access: 'read' | 'write'): Tree {
    const tree = this.#use();
    if (!this.#access[access]) throw failure('EBADF', access, this.path);
    return tree;
  }

  #positionIn(options: AtPosition | undefined): number {
    const position = options?.position;
    return position === undefined ? this.#position : checkPosition(position, 'position');
  }
}

/** What an asynchronous call moves between two waits. */
const PIECE_BYTES = 65_536;
const MODE_BITS = 0o7777;

export function checkMode(mode: number): number {
  if (Number.isInteger(mode) && mode >= 0 && mode <= MODE_BITS) return mode;
  throw new InvalidArgumentError(`a mode is a whole number from 0 to 0o7777, not ${mode}`);
}

function checkPosition(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError(`a ${what} is a whole number from 0 to 2^53 - 1, not ${value}`);
}

function overVectors(
  buffers: readonly Bytes[],
  options: AtPosition | undefined,
  move: (buffer: Bytes, options: AtPosition) => number,
): number {
  let done = 0;
  for (const buffer of buffers) {
    const count = move(buffer, after(options, done));
    done += count;
    if (count < buffer.length) break;
  }
  return done;
}

async function overVectorsAsync<Options extends AtPosition>(
  buffers: readonly Bytes[],
  options: Options | undefined,
  move: (buffer: Bytes, options: AtPosition) => Promise<number>,
): Promise<number> {
  let done = 0;
  for (const buffer of buffers) {
    const count = await move(buffer, after(options, done));
    done += count;
    if (count < buffer.length) break;
  }
  return done;
}

function after<Options extends AtPosition>(options: Options | undefined, done: number): AtPosition {
  return options?.position === undefined ? { ...options } : { ...options, position: options.position + done };
}
