import { constants } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { closeDescriptor } from './events.ts';
import { declare, negativeErrno } from './ffi.ts';
import { encodeTimes, statDescriptor } from './files.ts';
import { Structure } from './structure.ts';

/**
 * Files by name. Every name is a path relative to a directory that is open, and nothing on its way leads out of
 * that directory: not `..`, not a symbolic link, not a magic link of `/proc`, whatever others rename meanwhile. What
 * would is `-EXDEV`, as is an absolute path.
 *
 * What acts on an entry itself acts on the last name of the path, without following it if it is a link; that
 * name cannot be `.` or `..` or end with a slash (`-EINVAL`). Results are those of the kernel, or `-errno`.
 */
const openat2: (number: number, directory: number, path: string, how: number, howBytes: number) => number =
  declare('int64 syscall(int64, int, const char *, uintptr_t, size_t)');
const open: (path: string, flags: number) => number = declare('int open(const char *, int)');
const mkdirat: (directory: number, name: string, mode: number) => number = declare(
  'int mkdirat(int, const char *, uint)',
);
const unlinkat: (directory: number, name: string, flags: number) => number = declare(
  'int unlinkat(int, const char *, int)',
);
const renameat2: (
  fromDirectory: number,
  fromName: string,
  toDirectory: number,
  toName: string,
  flags: number,
) => number = declare('int renameat2(int, const char *, int, const char *, uint)');
const linkat: (
  fromDirectory: number,
  fromName: string,
  toDirectory: number,
  toName: string,
  flags: number,
) => number = declare('int linkat(int, const char *, int, const char *, int)');
const symlinkat: (target: string, directory: number, name: string) => number = declare(
  'int symlinkat(const char *, int, const char *)',
);
const readlinkat: (directory: number, name: string, into: number, length: number) => number = declare(
  'intptr_t readlinkat(int, const char *, uintptr_t, size_t)',
);
const fchmodat: (directory: number, name: string, mode: number, flags: number) => number = declare(
  'int fchmodat(int, const char *, uint, int)',
);
const utimensat: (directory: number, name: string, times: number, flags: number) => number = declare(
  'int utimensat(int, const char *, uintptr_t, int)',
);

const { EAGAIN, EBADF, EINVAL, ENOENT } = osConstants.errno;

const SYS_OPENAT2 = 437;
const O_PATH = 0x20_0000;
const O_CLOEXEC = 0x8_0000;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_BENEATH = 0x08;
const RESOLVE_CACHED = 0x20;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** The kernel gives up with EAGAIN when a rename anywhere runs beside a `..`; that rarely happens twice. */
const RESOLVE_ATTEMPTS_MAX = 8;

const OPEN_HOW_BYTES = 24;
const openHow = new Structure(OPEN_HOW_BYTES);
openHow.set64(16, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);

/**
 * Opens a path with the `O_` flags of `node:fs`; `mode` counts when that creates a file. The descriptor closes
 * on exec, and neither opening nor using it waits for a peer, should the path name a pipe.
 */
export function openBeneath(directory: number, path: string, flags: number, mode: number): number {
  const creating = (flags & constants.O_CREAT) !== 0;
  return resolve(directory, path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, creating ? mode : 0);
}

/**
 * As `openBeneath` of what is there already, but never waits for a disk: `-EAGAIN` unless every name on the way is
 * in memory. Flags that create or truncate are always `-EAGAIN`.
 */
export function openCached(directory: number, path: string, flags: number): number {
  openHow.set64(16, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED);
  const waiting = (flags & O_PATH) === 0 ? constants.O_NONBLOCK | constants.O_NOCTTY : 0;
  const result = resolve(directory, path, flags | waiting, 0, 1);
  openHow.set64(16, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  return result;
}

/** As `statBeneath`, but never waits for a disk to find the path: see {@link openCached}. */
export function statCached(directory: number, path: string, following: boolean, into: number): number {
  const fd = openCached(directory, path, O_PATH | (following ? 0 : constants.O_NOFOLLOW));
  if (fd < 0) return fd;
  const result = statDescriptor(fd, into);
  closeDescriptor(fd);
  return result;
}

/** Opens a directory of the host, wherever it lies, to find paths beneath it. */
export function openRoot(path: string): number {
  return negativeErrno(open(path, O_PATH | O_CLOEXEC | constants.O_DIRECTORY));
}

/** Writes a `struct statx` of `FILE_STATUS_BYTES` at `into`, of what a link leads to if `following`. */
export function statBeneath(directory: number, path: string, following: boolean, into: number): number {
  const fd = resolve(directory, path, O_PATH | (following ? 0 : constants.O_NOFOLLOW), 0);
  if (fd < 0) return fd;
  const result = statDescriptor(fd, into);
  closeDescriptor(fd);
  return result;
}

export function makeDirectory(directory: number, path: string, mode: number): number {
  const parent = openParent(directory, path);
  if (parent < 0) return parent;
  return release(directory, parent, negativeErrno(mkdirat(parent, lastName(path), mode)));
}

export function unlinkFile(directory: number, path: string): number {
  const parent = openParent(directory, path);
  if (parent < 0) return parent;
  return release(directory, parent, negativeErrno(unlinkat(parent, lastName(path), 0)));
}

export function removeDirectory(directory: number, path: string): number {
  const parent = openParent(directory, path);
  if (parent < 0) return parent;
  return release(directory, parent, negativeErrno(unlinkat(parent, lastName(path), AT_REMOVEDIR)));
}

export function rename(
  fromDirectory: number,
  fromPath: string,
  toDirectory: number,
  toPath: string,
  flags: number,
): number {
  const from = openParent(fromDirectory, fromPath);
  if (from < 0) return from;
  const to = openParent(toDirectory, toPath);
  if (to < 0) return release(fromDirectory, from, to);
  const result = negativeErrno(renameat2(from, lastName(fromPath), to, lastName(toPath), flags));
  return release(fromDirectory, from, release(toDirectory, to, result));
}

/** A second name for a file; for a symbolic link, a second name for that link. */
export function link(fromDirectory: number, fromPath: string, toDirectory: number, toPath: string): number {
  const from = openParent(fromDirectory, fromPath);
  if (from < 0) return from;
  const to = openParent(toDirectory, toPath);
  if (to < 0) return release(fromDirectory, from, to);
  const result = negativeErrno(linkat(from, lastName(fromPath), to, lastName(toPath), 0));
  return release(fromDirectory, from, release(toDirectory, to, result));
}

/** A link may hold any text; where it leads to is checked by those who follow it. */
export function symbolicLink(target: string, directory: number, path: string): number {
  if (target.includes('\0')) return -EINVAL;
  const parent = openParent(directory, path);
  if (parent < 0) return parent;
  return release(directory, parent, negativeErrno(symlinkat(target, parent, lastName(path))));
}

/** How many bytes of the text of a link were written at `into`: `length` when it may be longer than that. */
export function readLink(directory: number, path: string, into: number, length: number): number {
  const parent = openParent(directory, path);
  if (parent < 0) return parent;
  return release(directory, parent, negativeErrno(readlinkat(parent, lastName(path), into, length)));
}

/** `-EOPNOTSUPP` for a symbolic link, which has no mode. */
export function changeMode(directory: number, path: string, mode: number): number {
  const parent = openParent(directory, path);
  if (parent < 0) return parent;
  const result = negativeErrno(fchmodat(parent, lastName(path), mode, AT_SYMLINK_NOFOLLOW));
  return release(directory, parent, result);
}

/** UTIME_NOW and UTIME_OMIT serve as nanoseconds. */
export function setTimes(
  directory: number,
  path: string,
  accessSeconds: number,
  accessNanoseconds: number,
  modifySeconds: number,
  modifyNanoseconds: number,
): number {
  const parent = openParent(directory, path);
  if (parent < 0) return parent;
  const times = encodeTimes(accessSeconds, accessNanoseconds, modifySeconds, modifyNanoseconds);
  return release(
    directory,
    parent,
    negativeErrno(utimensat(parent, lastName(path), times, AT_SYMLINK_NOFOLLOW)),
  );
}

/** The one way from a path to a descriptor. A negative directory would mean the current one, of the process. */
function resolve(
  directory: number,
  path: string,
  flags: number,
  mode: number,
  attempts: number = RESOLVE_ATTEMPTS_MAX,
): number {
  if (directory < 0) return -EBADF;
  if (path.includes('\0')) return -EINVAL;
  openHow.set64(0, flags | O_CLOEXEC);
  openHow.set64(8, mode);
  let result = -EAGAIN;
  for (let attempt = 0; result === -EAGAIN && attempt < attempts; attempt++) {
    result = negativeErrno(openat2(SYS_OPENAT2, directory, path, openHow.address, OPEN_HOW_BYTES));
  }
  return result;
}

/** A descriptor of the directory that the last name of `path` lies in: `directory` itself if that is all. */
function openParent(directory: number, path: string): number {
  if (directory < 0) return -EBADF;
  if (path === '') return -ENOENT;
  const name = lastName(path);
  if (name === '' || name === '.' || name === '..' || name.includes('\0')) return -EINVAL;
  const slash = path.length - name.length - 1;
  if (slash === -1) return directory;
  // A slash at the start stays: it is for the kernel to refuse.
  return resolve(directory, path.slice(0, Math.max(slash, 1)), O_PATH | constants.O_DIRECTORY, 0);
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Passes `result` on once the parent is closed, unless it is the caller's own directory. */
function release(directory: number, parent: number, result: number): number {
  if (parent !== directory) closeDescriptor(parent);
  return result;
}
