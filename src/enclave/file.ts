import { constants } from 'node:os';
import { highWord, LockKind, lowWord, MODE_BITS, TIMES_BYTES } from '../boundary/files.ts';
import { CallKind } from '../boundary/kinds.ts';
import { InvalidArgumentError, SystemError } from '../errors.ts';
import { FILE_LOCK_PAUSE_MILLISECONDS_MAX, FILE_TRANSFER_MAX } from '../limits.ts';
import { FILE_STATUS_BYTES } from '../linux/file-status.ts';
import { sleep, sleepAsync } from './clock.ts';
import { Open } from './open.ts';
import { type Stats, statsIn } from './stats.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  requirePrivate,
  StartedCall,
  type Transfer,
} from './transfer.ts';
import { gather, scatter, totalLength } from './vectors.ts';

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

const MILLISECONDS_MAX = 8.64e15;
const UTIME_OMIT = 0x3fff_fffe;

/**
 * An open file of the host. The host sees, and may change, all that is read and written: encrypt what it must
 * not know.
 *
 * Reads and writes go on until all is done, the file ends, or an error: then they say how much was done, if
 * anything. One of more than 64 KiB is several of the system, between which others may write.
 */
export class File extends Open {
  readonly path: string;

  constructor(handle: number, path: string) {
    super(handle);
    this.path = path;
  }

  /** Reads into `buffer` and says how many bytes; fewer than its length only at the end of the file. */
  read(buffer: Bytes, options?: AtPosition & CallOptions): number {
    return this.#repeat(CallKind.readFile, buffer, Direction.in, options);
  }

  readAsync(buffer: Bytes, options?: AtPosition & AsyncCallOptions): Promise<number> {
    return this.#repeatAsync(CallKind.readFile, buffer, Direction.in, options);
  }

  /** Starts to read a piece of so many bytes, 64 KiB at most; undefined where it cannot go on by itself. */
  startRead(length: number, position: number): StartedCall | undefined {
    return StartedCall.start(this.#piece(CallKind.readFile, length, Direction.in, position));
  }

  /** Starts to write a piece, of 64 KiB at most; undefined where it cannot go on by itself. */
  startWrite(bytes: Bytes, position: number): StartedCall | undefined {
    requirePrivate(bytes);
    const piece = this.#piece(CallKind.writeFile, bytes.length, Direction.out, position);
    return StartedCall.start({ ...piece, view: bytes });
  }

  #piece(kind: number, length: number, direction: number, position: number): Transfer {
    const at = checkPosition(position, 'position');
    const { handle, path } = this;
    return { kind, handle, length, direction, a0: lowWord(at), a1: highWord(at), path };
  }

  /** Writes `bytes` and says how many: fewer than all only if the disk fills up meanwhile. */
  write(bytes: Bytes, options?: AtPosition & CallOptions): number {
    return this.#repeat(CallKind.writeFile, bytes, Direction.out, options);
  }

  writeAsync(bytes: Bytes, options?: AtPosition & AsyncCallOptions): Promise<number> {
    return this.#repeatAsync(CallKind.writeFile, bytes, Direction.out, options);
  }

  /** Reads into one buffer after the other. */
  readVectors(buffers: readonly Bytes[], options?: AtPosition & CallOptions): number {
    const whole = new Uint8Array(totalLength(buffers));
    return scatter(whole, this.read(whole, options), buffers);
  }

  async readVectorsAsync(
    buffers: readonly Bytes[],
    options?: AtPosition & AsyncCallOptions,
  ): Promise<number> {
    const whole = new Uint8Array(totalLength(buffers));
    return scatter(whole, await this.readAsync(whole, options), buffers);
  }

  /** Writes one buffer after the other. */
  writeVectors(buffers: readonly Bytes[], options?: AtPosition & CallOptions): number {
    return this.write(gather(buffers), options);
  }

  async writeVectorsAsync(
    buffers: readonly Bytes[],
    options?: AtPosition & AsyncCallOptions,
  ): Promise<number> {
    return await this.writeAsync(gather(buffers), options);
  }

  #repeat(kind: number, view: Bytes, direction: number, options?: AtPosition & CallOptions): number {
    requirePrivate(view);
    const position = positionIn(options);
    for (let done = 0; ; ) {
      try {
        const count = callSync(this.#transfer(kind, view, done, direction, position), options);
        done += count;
        if (count === 0 || done >= view.length) return done;
      } catch (error) {
        if (done === 0 || !(error instanceof SystemError)) throw error;
        return done;
      }
    }
  }

  async #repeatAsync(
    kind: number,
    view: Bytes,
    direction: number,
    options?: AtPosition & AsyncCallOptions,
  ): Promise<number> {
    requirePrivate(view);
    const position = positionIn(options);
    for (let done = 0; ; ) {
      try {
        const count = await callAsync(this.#transfer(kind, view, done, direction, position), options);
        done += count;
        if (count === 0 || done >= view.length) return done;
      } catch (error) {
        if (done === 0 || !(error instanceof SystemError)) throw error;
        return done;
      }
    }
  }

  #transfer(kind: number, view: Bytes, done: number, direction: number, position: number): Transfer {
    const at = position < 0 ? -1 : position + done;
    return {
      kind,
      handle: this.handle,
      view,
      offset: done,
      length: Math.min(view.length - done, FILE_TRANSFER_MAX),
      direction,
      a0: lowWord(at),
      a1: highWord(at),
      path: this.path,
    };
  }

  #plain(kind: number, a0 = 0, a1 = 0): Transfer {
    return { kind, handle: this.handle, a0, a1, path: this.path };
  }

  /** Makes what was written durable, and what there is to know about the file. */
  sync(options?: CallOptions): void {
    callSync(this.#plain(CallKind.syncFile), options);
  }

  async syncAsync(options?: AsyncCallOptions): Promise<void> {
    await callAsync(this.#plain(CallKind.syncFile), options);
  }

  /** Makes what was written durable, and no more of the rest than it takes to read it back. */
  syncData(options?: CallOptions): void {
    callSync(this.#plain(CallKind.syncFile, 1), options);
  }

  async syncDataAsync(options?: AsyncCallOptions): Promise<void> {
    await callAsync(this.#plain(CallKind.syncFile, 1), options);
  }

  /** Cuts the file, or fills it up with zeroes, to `length` bytes. */
  truncate(length = 0, options?: CallOptions): void {
    callSync(this.#truncating(length), options);
  }

  async truncateAsync(length = 0, options?: AsyncCallOptions): Promise<void> {
    await callAsync(this.#truncating(length), options);
  }

  #truncating(length: number): Transfer {
    const checked = checkPosition(length, 'length');
    return this.#plain(CallKind.truncateFile, lowWord(checked), highWord(checked));
  }

  stat(options?: CallOptions): Stats {
    const view = new Uint8Array(FILE_STATUS_BYTES);
    return statsIn(view, callSync(this.#asking(view), options));
  }

  async statAsync(options?: AsyncCallOptions): Promise<Stats> {
    const view = new Uint8Array(FILE_STATUS_BYTES);
    return statsIn(view, await callAsync(this.#asking(view), options));
  }

  #asking(view: Bytes): Transfer {
    return { ...this.#plain(CallKind.statFile), view, length: view.length, direction: Direction.in };
  }

  chmod(mode: number, options?: CallOptions): void {
    callSync(this.#plain(CallKind.changeFileMode, checkMode(mode)), options);
  }

  async chmodAsync(mode: number, options?: AsyncCallOptions): Promise<void> {
    await callAsync(this.#plain(CallKind.changeFileMode, checkMode(mode)), options);
  }

  setTimes(times: FileTimes, options?: CallOptions): void {
    callSync(this.#timing(times), options);
  }

  async setTimesAsync(times: FileTimes, options?: AsyncCallOptions): Promise<void> {
    await callAsync(this.#timing(times), options);
  }

  #timing(times: FileTimes): Transfer {
    const view = encodeTimes(times);
    return { ...this.#plain(CallKind.setFileTimes), view, length: view.length, direction: Direction.out };
  }

  /** Locks the file against others that lock it (flock); false when they have it. */
  tryLock(options?: LockOptions & CallOptions): boolean {
    try {
      callSync(this.#locking(options), options);
      return true;
    } catch (error) {
      return rethrowUnlessHeld(error);
    }
  }

  async tryLockAsync(options?: LockOptions & AsyncCallOptions): Promise<boolean> {
    try {
      await callAsync(this.#locking(options), options);
      return true;
    } catch (error) {
      return rethrowUnlessHeld(error);
    }
  }

  /** Waits for the lock, asking again and again; late, it fails with ETIMEDOUT. */
  lock(options?: LockOptions & CallOptions): void {
    const until = performance.now() + (options?.timeout ?? Number.POSITIVE_INFINITY);
    for (let pause = 1; !this.tryLock(pickShared(options)); pause = nextPause(pause)) {
      sleep(this.#pauseWithin(pause, until));
    }
  }

  async lockAsync(options?: LockOptions & AsyncCallOptions): Promise<void> {
    const until = performance.now() + (options?.timeout ?? Number.POSITIVE_INFINITY);
    for (let pause = 1; !(await this.tryLockAsync(pickShared(options))); pause = nextPause(pause)) {
      await sleepAsync(this.#pauseWithin(pause, until), options?.signal);
    }
  }

  #pauseWithin(pause: number, until: number): number {
    const left = until - performance.now();
    if (left > 0) return Math.min(pause, left);
    throw new SystemError('ETIMEDOUT', -constants.errno.ETIMEDOUT, 'flock', this.path, this.path);
  }

  unlock(options?: CallOptions): void {
    callSync(this.#plain(CallKind.lockFile, LockKind.none), options);
  }

  async unlockAsync(options?: AsyncCallOptions): Promise<void> {
    await callAsync(this.#plain(CallKind.lockFile, LockKind.none), options);
  }

  #locking(options: LockOptions | undefined): Transfer {
    return this.#plain(CallKind.lockFile, options?.shared === true ? LockKind.shared : LockKind.exclusive);
  }
}

function pickShared(options: LockOptions | undefined): LockOptions {
  return { shared: options?.shared === true };
}

function nextPause(pause: number): number {
  return Math.min(pause * 2, FILE_LOCK_PAUSE_MILLISECONDS_MAX);
}

function rethrowUnlessHeld(error: unknown): false {
  if (error instanceof SystemError && error.code === 'EAGAIN') return false;
  throw error;
}

function positionIn(options: AtPosition | undefined): number {
  const position = options?.position;
  return position === undefined ? -1 : checkPosition(position, 'position');
}

function checkPosition(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError(`a ${what} is a whole number from 0 to 2^53 - 1, not ${value}`);
}

export function checkMode(mode: number): number {
  if (Number.isInteger(mode) && mode >= 0 && mode <= MODE_BITS) return mode;
  throw new InvalidArgumentError(`a mode is a whole number from 0 to 0o7777, not ${mode}`);
}

/** Two times as the kernel takes them. */
export function encodeTimes({ accessed, modified }: FileTimes): Bytes {
  const view = new DataView(new ArrayBuffer(TIMES_BYTES));
  encodeTime(view, 0, accessed);
  encodeTime(view, TIMES_BYTES / 2, modified);
  return new Uint8Array(view.buffer);
}

function encodeTime(view: DataView, offset: number, milliseconds: number | undefined): void {
  if (milliseconds === undefined) {
    view.setInt32(offset + 8, UTIME_OMIT, true);
    return;
  }
  if (!(Math.abs(milliseconds) <= MILLISECONDS_MAX)) {
    throw new InvalidArgumentError(`a time is milliseconds since 1970, not ${milliseconds}`);
  }
  const seconds = Math.floor(milliseconds / 1000);
  view.setBigInt64(offset, BigInt(seconds), true);
  view.setInt32(offset + 8, Math.floor((milliseconds - seconds * 1000) * 1e6), true);
}
