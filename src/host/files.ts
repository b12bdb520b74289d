import { constants as flags } from 'node:fs';
import { constants } from 'node:os';
import {
  LockKind,
  MODE_BITS,
  OPEN_FLAGS,
  positionOf,
  TIMES_BYTES,
  WRITING_FLAGS,
} from '../boundary/files.ts';
import type { Request } from '../boundary/ring.ts';
import { PATH_BYTES_MAX } from '../limits.ts';
import { closeDescriptor } from '../linux/events.ts';
import { FILE_STATUS_BYTES } from '../linux/file-status.ts';
import {
  LOCK_EX,
  LOCK_SH,
  LOCK_UN,
  lockFile as lockDescriptor,
  readCached,
  statDescriptor,
  writeCached,
} from '../linux/files.ts';
import { openCached, statCached } from '../linux/paths.ts';
import { Blocking, type BlockingArguments, statusResult, textAt } from './blocking.ts';
import { BlockingCall, type Convert, type InUse } from './blocking-call.ts';
import type { Executor, Handler, Resource } from './executor.ts';
import { ResourceType } from './journal.ts';
import type { Mount } from './mounts.ts';

/**
 * Files of the host. What the page cache can answer is answered at once; what may have to wait for a disk is
 * made where blocking calls are made. Every path is found below its mount by the kernel.
 */
const { EACCES, EAGAIN, EBADF, ECANCELED, EINVAL, EOPNOTSUPP } = constants.errno;

const locks: ReadonlyMap<number, number> = new Map([
  [LockKind.shared, LOCK_SH],
  [LockKind.exclusive, LOCK_EX],
  [LockKind.none, LOCK_UN],
]);

/** An open file, which stays open for as long as a call is using it. */
export class HostFile implements Resource, InUse {
  readonly type: number = ResourceType.file;
  readonly descriptor: number;
  /** The ids of calls that are not over. */
  readonly #calls = new Set<number>();
  #users = 0;
  #closed = false;
  /** Whether the file system says what the page cache can take; found out by asking. */
  cachedReads = true;
  cachedWrites = true;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  begin(): void {
    this.#users++;
  }

  end(): void {
    this.#users--;
    if (this.#closed && this.#users === 0) closeDescriptor(this.descriptor);
  }

  start(
    executor: Executor,
    request: Request,
    call: Partial<BlockingArguments> & { operation: number },
  ): void {
    const { id } = request;
    this.#calls.add(id);
    const done: InUse = {
      begin: () => this.begin(),
      end: () => {
        this.#calls.delete(id);
        this.end();
      },
    };
    executor.block(new BlockingCall(executor, request, { ...call, descriptor: this.descriptor }, done));
  }

  close(executor: Executor): number {
    for (const id of this.#calls) executor.cancel(id, ECANCELED);
    this.#closed = true;
    return this.#users === 0 ? closeDescriptor(this.descriptor) : 0;
  }
}

/** The mount of that index, if the call may do there what it is about to; otherwise the call is answered. */
function mountFor(executor: Executor, request: Request, index: number, writes: boolean): Mount | undefined {
  const mount = executor.mounts[index];
  if (mount !== undefined && (mount.writable || !writes)) return mount;
  executor.complete(request.id, mount === undefined ? -EBADF : -EACCES);
  return undefined;
}

function fileOf(executor: Executor, request: Request): HostFile | undefined {
  const file = executor.resource(request.handle);
  if (file instanceof HostFile) return file;
  executor.complete(request.id, -EBADF);
  return undefined;
}

function isPathLength(bytes: number, available: number): boolean {
  return bytes > 0 && bytes <= PATH_BYTES_MAX && bytes <= available;
}

/** Whether what answers from memory alone could not: a kernel before 5.12 does not know how (EINVAL). */
function mayWait(result: number): boolean {
  return result === -EAGAIN || result === -EINVAL;
}

const openHandle: Convert = (executor, descriptor) => executor.open(new HostFile(descriptor));

/** Payload: the path. a0: mount; a1: flags; a2: mode, for what is created. */
export function openFile(executor: Executor, request: Request): void {
  const { a0, a1, a2, length, payload, id } = request;
  const mount = mountFor(executor, request, a0, (a1 & WRITING_FLAGS) !== 0);
  if (mount === undefined) return;
  if ((a1 & ~OPEN_FLAGS) !== 0 || (a2 & ~MODE_BITS) !== 0 || !isPathLength(length, length)) {
    return executor.complete(id, -EINVAL);
  }
  const { descriptor } = mount;
  if ((a1 & (flags.O_CREAT | flags.O_TRUNC)) === 0) {
    const path = textAt(executor.address(payload), length);
    if (path === undefined) return executor.complete(id, -EINVAL);
    const result = openCached(descriptor, path, a1);
    if (result >= 0) return executor.complete(id, executor.open(new HostFile(result)));
    if (!mayWait(result)) return executor.complete(id, result);
  }
  const call = { operation: Blocking.open, descriptor, first: length, second: a1, position: a2 };
  executor.block(new BlockingCall(executor, request, call, undefined, openHandle));
}

/** a0, a1: the position. The payload receives what is there. */
export function readFile(executor: Executor, request: Request): void {
  const file = fileOf(executor, request);
  if (file === undefined) return;
  const position = positionOf(request.a0, request.a1);
  if (position < -1) return executor.complete(request.id, -EINVAL);
  if (file.cachedReads) {
    const address = executor.address(request.payload);
    const result = readCached(file.descriptor, address, request.length, position);
    if (result === -EOPNOTSUPP) file.cachedReads = false;
    else if (result !== -EAGAIN) return executor.complete(request.id, result);
  }
  file.start(executor, request, { operation: Blocking.read, position });
}

/** a0, a1: the position. Payload: what to write. */
export function writeFile(executor: Executor, request: Request): void {
  const file = fileOf(executor, request);
  if (file === undefined) return;
  const position = positionOf(request.a0, request.a1);
  if (position < -1) return executor.complete(request.id, -EINVAL);
  if (file.cachedWrites) {
    const address = executor.address(request.payload);
    const result = writeCached(file.descriptor, address, request.length, position);
    if (result === -EOPNOTSUPP) file.cachedWrites = false;
    else if (result !== -EAGAIN) return executor.complete(request.id, result);
  }
  file.start(executor, request, { operation: Blocking.write, position });
}

/** a0: 1 for the content alone. */
export function syncFile(executor: Executor, request: Request): void {
  const operation = request.a0 === 1 ? Blocking.syncData : Blocking.sync;
  fileOf(executor, request)?.start(executor, request, { operation });
}

/** a0, a1: the length. */
export function truncateFile(executor: Executor, request: Request): void {
  const position = positionOf(request.a0, request.a1);
  if (position < 0) executor.complete(request.id, -EINVAL);
  else fileOf(executor, request)?.start(executor, request, { operation: Blocking.truncate, position });
}

/** The payload receives a `struct statx`. */
export function statFile(executor: Executor, request: Request): void {
  const file = fileOf(executor, request);
  if (file === undefined) return;
  if (request.length !== FILE_STATUS_BYTES) return executor.complete(request.id, -EINVAL);
  const result = statDescriptor(file.descriptor, executor.address(request.payload));
  executor.complete(request.id, statusResult(result));
}

/** Payload: the path, of a1 bytes; it receives a `struct statx`. a0: mount; a2: 1 to follow a link. */
export function statPath(executor: Executor, request: Request): void {
  const { a0, a1, a2, length, id } = request;
  const mount = mountFor(executor, request, a0, false);
  if (mount === undefined) return;
  const address = executor.address(request.payload);
  const path = isPathLength(a1, length) ? textAt(address, a1) : undefined;
  if (path === undefined || length < FILE_STATUS_BYTES) return executor.complete(id, -EINVAL);
  const { descriptor } = mount;
  const result = statCached(descriptor, path, a2 === 1, address);
  if (!mayWait(result)) return executor.complete(id, statusResult(result));
  const operation = a2 === 1 ? Blocking.status : Blocking.linkStatus;
  executor.block(new BlockingCall(executor, request, { operation, descriptor, first: a1 }));
}

/** The payload receives `linux_dirent64` records. */
export function readDirectory(executor: Executor, request: Request): void {
  fileOf(executor, request)?.start(executor, request, { operation: Blocking.readDirectory });
}

/** Serves a call on one path: the first a1 bytes of the payload, below mount a0; a2: a mode. */
function atPath(operation: number, writes: boolean, rest = 0): Handler {
  return (executor, request) => {
    const { a0, a1, a2, length, id } = request;
    const mount = mountFor(executor, request, a0, writes);
    if (mount === undefined) return;
    if (!isPathLength(a1, length - rest) || (a2 & ~MODE_BITS) !== 0) return executor.complete(id, -EINVAL);
    const { descriptor } = mount;
    executor.block(new BlockingCall(executor, request, { operation, descriptor, first: a1, second: a2 }));
  };
}

export const makeDirectory: Handler = atPath(Blocking.makeDirectory, true);
export const removeDirectory: Handler = atPath(Blocking.removeDirectory, true);
export const unlink: Handler = atPath(Blocking.unlink, true);
/** The payload receives where the link leads. */
export const readLink: Handler = atPath(Blocking.readLink, false);
export const changeMode: Handler = atPath(Blocking.changeMode, true);
/** Behind the path: TIMES_BYTES of times. */
export const setTimes: Handler = atPath(Blocking.setTimes, true, TIMES_BYTES);

/** Serves a call on two paths below mount a0: the first a1 bytes of the payload, and the rest. */
function atTwoPaths(operation: number): Handler {
  return (executor, request) => {
    const { a0, a1, length, id } = request;
    const mount = mountFor(executor, request, a0, true);
    if (mount === undefined) return;
    if (!isPathLength(a1, length) || !isPathLength(length - a1, length)) {
      return executor.complete(id, -EINVAL);
    }
    const { descriptor } = mount;
    executor.block(new BlockingCall(executor, request, { operation, descriptor, first: a1 }));
  };
}

export const rename: Handler = atTwoPaths(Blocking.rename);
export const link: Handler = atTwoPaths(Blocking.link);
/** The first of the two is the text of the link: a path that is not looked at. */
export const symbolicLink: Handler = atTwoPaths(Blocking.symbolicLink);

/** a0: the mode. */
export function changeFileMode(executor: Executor, request: Request): void {
  const second = request.a0;
  if ((second & ~MODE_BITS) !== 0) executor.complete(request.id, -EINVAL);
  else fileOf(executor, request)?.start(executor, request, { operation: Blocking.changeFileMode, second });
}

/** Payload: TIMES_BYTES of times. */
export function setFileTimes(executor: Executor, request: Request): void {
  if (request.length !== TIMES_BYTES) executor.complete(request.id, -EINVAL);
  else fileOf(executor, request)?.start(executor, request, { operation: Blocking.setFileTimes });
}

/** a0: see {@link LockKind}. Never waits: EAGAIN while another holds it. */
export function lockFile(executor: Executor, request: Request): void {
  const file = fileOf(executor, request);
  if (file === undefined) return;
  const kind = locks.get(request.a0);
  executor.complete(request.id, kind === undefined ? -EINVAL : lockDescriptor(file.descriptor, kind));
}
