import { declare, negativeErrno } from './ffi.ts';
import { Structure } from './structure.ts';
import { Vectors } from './vectors.ts';

/**
 * Files that are open. Every function returns what the kernel returns, a value of zero or more or `-errno`,
 * and allocates nothing. Offsets and lengths are in bytes and exact up to 2^53.
 */
type Transfer = (fd: number, address: number, length: number) => number;
type TransferAt = (fd: number, address: number, length: number, offset: number) => number;

const libcRead: Transfer = declare('intptr_t read(int, uintptr_t, size_t)');
const libcWrite: Transfer = declare('intptr_t write(int, uintptr_t, size_t)');
const pread: TransferAt = declare('intptr_t pread(int, uintptr_t, size_t, int64)');
const pwrite: TransferAt = declare('intptr_t pwrite(int, uintptr_t, size_t, int64)');
const preadv: TransferAt = declare('intptr_t preadv(int, uintptr_t, int, int64)');
const pwritev: TransferAt = declare('intptr_t pwritev(int, uintptr_t, int, int64)');
const preadv2: (fd: number, vectors: number, count: number, offset: number, flags: number) => number =
  declare('intptr_t preadv2(int, uintptr_t, int, int64, int)');
const pwritev2: (fd: number, vectors: number, count: number, offset: number, flags: number) => number =
  declare('intptr_t pwritev2(int, uintptr_t, int, int64, int)');
const fadvise: (fd: number, offset: number, length: number, advice: number) => number = declare(
  'int posix_fadvise(int, int64, int64, int)',
);
const fsync: (fd: number) => number = declare('int fsync(int)');
const fdatasync: (fd: number) => number = declare('int fdatasync(int)');
const ftruncate: (fd: number, length: number) => number = declare('int ftruncate(int, int64)');
const fallocate: (fd: number, mode: number, offset: number, length: number) => number = declare(
  'int fallocate(int, int, int64, int64)',
);
const lseek: (fd: number, offset: number, whence: number) => number = declare('int64 lseek(int, int64, int)');
const statx: (fd: number, path: string, flags: number, mask: number, into: number) => number = declare(
  'int statx(int, const char *, int, uint, uintptr_t)',
);
const getdents64: Transfer = declare('intptr_t getdents64(int, uintptr_t, size_t)');
const fchmod: (fd: number, mode: number) => number = declare('int fchmod(int, uint)');
const futimens: (fd: number, times: number) => number = declare('int futimens(int, uintptr_t)');
const flock: (fd: number, operation: number) => number = declare('int flock(int, int)');
const fcntl: (fd: number, command: number, value: number) => number = declare(
  'int fcntl(int, int, uintptr_t)',
);

const RWF_NOWAIT = 0x08;
const POSIX_FADV_DONTNEED = 4;
const AT_EMPTY_PATH = 0x1000;
/** STATX_BASIC_STATS and STATX_BTIME. */
const STATX_MASK = 0xfff;

export const FALLOC_FL_KEEP_SIZE = 0x01;
/** Only together with FALLOC_FL_KEEP_SIZE. */
export const FALLOC_FL_PUNCH_HOLE = 0x02;

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_UN = 8;
const LOCK_NB = 4;

export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
const F_OFD_SETLK = 37;

const single = new Vectors(1);
single.count = 1;

const FLOCK_BYTES = 32;
const FLOCK_START_OFFSET = 8;
const FLOCK_LENGTH_OFFSET = 16;
const rangeLock = new Structure(FLOCK_BYTES);

/** In place of nanoseconds: the current time, or leave that time as it is. The seconds are ignored then. */
export const UTIME_NOW = 0x3fff_ffff;
export const UTIME_OMIT = 0x3fff_fffe;
const times = new Structure(32);

export function read(fd: number, address: number, length: number): number {
  return negativeErrno(libcRead(fd, address, length));
}

export function write(fd: number, address: number, length: number): number {
  return negativeErrno(libcWrite(fd, address, length));
}

export function readAt(fd: number, address: number, length: number, offset: number): number {
  return negativeErrno(pread(fd, address, length, offset));
}

export function writeAt(fd: number, address: number, length: number, offset: number): number {
  return negativeErrno(pwrite(fd, address, length, offset));
}

/**
 * As `readAt`, but never waits for a disk: as much as the page cache holds from `offset` on (-1: from where the
 * file is at), `-EAGAIN` if that is nothing, `-EOPNOTSUPP` if the file system cannot tell.
 */
export function readCached(fd: number, address: number, length: number, offset: number): number {
  single.set(0, address, length);
  return negativeErrno(preadv2(fd, single.address, 1, offset, RWF_NOWAIT));
}

/** As `writeAt`, but only what the page cache takes without waiting for a disk; else as {@link readCached}. */
export function writeCached(fd: number, address: number, length: number, offset: number): number {
  single.set(0, address, length);
  return negativeErrno(pwritev2(fd, single.address, 1, offset, RWF_NOWAIT));
}

export function readVectorsAt(fd: number, vectors: Vectors, offset: number): number {
  return negativeErrno(preadv(fd, vectors.address, vectors.count, offset));
}

export function writeVectorsAt(fd: number, vectors: Vectors, offset: number): number {
  return negativeErrno(pwritev(fd, vectors.address, vectors.count, offset));
}

/** Asks that the page cache forget the content, but for what is not written to the disk yet. */
export function forgetCached(fd: number): number {
  return -fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/** Makes content and attributes durable. */
export function syncFile(fd: number): number {
  return negativeErrno(fsync(fd));
}

/** Makes the content durable, and what it takes to read it back. */
export function syncData(fd: number): number {
  return negativeErrno(fdatasync(fd));
}

export function truncateFile(fd: number, length: number): number {
  return negativeErrno(ftruncate(fd, length));
}

export function allocateFile(fd: number, mode: number, offset: number, length: number): number {
  return negativeErrno(fallocate(fd, mode, offset, length));
}

/** The new position. `-ENXIO` when SEEK_DATA finds none. */
export function seek(fd: number, offset: number, whence: number): number {
  return negativeErrno(lseek(fd, offset, whence));
}

/** Writes a `struct statx` of `FILE_STATUS_BYTES` at `into`. The descriptor may be one of O_PATH. */
export function statDescriptor(fd: number, into: number): number {
  return negativeErrno(statx(fd, '', AT_EMPTY_PATH, STATX_MASK, into));
}

/** How many bytes of `linux_dirent64` records were written at `into`; 0 at the end of the directory. */
export function readDirectory(fd: number, into: number, length: number): number {
  return negativeErrno(getdents64(fd, into, length));
}

export function changeDescriptorMode(fd: number, mode: number): number {
  return negativeErrno(fchmod(fd, mode));
}

export function setDescriptorTimes(
  fd: number,
  accessSeconds: number,
  accessNanoseconds: number,
  modifySeconds: number,
  modifyNanoseconds: number,
): number {
  const address = encodeTimes(accessSeconds, accessNanoseconds, modifySeconds, modifyNanoseconds);
  return negativeErrno(futimens(fd, address));
}

/** The address of the two times as the kernel takes them, until the next call of this function. */
export function encodeTimes(
  accessSeconds: number,
  accessNanoseconds: number,
  modifySeconds: number,
  modifyNanoseconds: number,
): number {
  times.set64(0, accessSeconds);
  times.set64(8, accessNanoseconds);
  times.set64(16, modifySeconds);
  times.set64(24, modifyNanoseconds);
  return times.address;
}

/** Locks the whole file for this open file (LOCK_SH, LOCK_EX, LOCK_UN); `-EAGAIN` when another holds it. */
export function lockFile(fd: number, operation: number): number {
  return negativeErrno(flock(fd, operation | LOCK_NB));
}

/**
 * Locks bytes `start` to `start + length` (0: to the end, wherever that is) for this open file, not for the
 * process: F_RDLCK, F_WRLCK or F_UNLCK; `-EAGAIN` when another open file holds any of them.
 */
export function lockRange(fd: number, type: number, start: number, length: number): number {
  rangeLock.view.setInt16(0, type, true);
  rangeLock.view.setInt16(2, SEEK_SET, true);
  rangeLock.set64(FLOCK_START_OFFSET, start);
  rangeLock.set64(FLOCK_LENGTH_OFFSET, length);
  return negativeErrno(fcntl(fd, F_OFD_SETLK, rangeLock.address));
}
