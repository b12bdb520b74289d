import { WASM_PAGE_BYTES } from '../limits.ts';
import { addressOf, check, declare, lastErrno, systemError, viewOf } from './ffi.ts';

const memfdCreate: (name: string, flags: number) => number = declare('int memfd_create(const char *, uint)');
const ftruncate: (fd: number, bytes: number) => number = declare('int ftruncate(int, int64)');
const fcntl: (fd: number, command: number, value: number) => number = declare('int fcntl(int, int, int)');
const lseek: (fd: number, offset: number, whence: number) => number = declare('int64 lseek(int, int64, int)');
const closeDescriptor: (fd: number) => number = declare('int close(int)');
const mmap: (
  at: number,
  bytes: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => number = declare('intptr_t mmap(uintptr_t, size_t, int, int, int, int64)');
const munmap: (at: number, bytes: number) => number = declare('int munmap(uintptr_t, size_t)');
const syscallNumber: (number: number, flags: number) => number = declare('int64 syscall(int64, uint)');

/** Copies `bytes` bytes between two addresses that do not overlap. Some 30 ns whatever the size up to 1 KiB. */
export const copyMemory: (to: number, from: number, bytes: number) => void = declare(
  'void memcpy(uintptr_t, uintptr_t, size_t)',
);

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const SEEK_END = 2;
/** F_SEAL_SEAL, F_SEAL_SHRINK and F_SEAL_GROW: its size and its seals are what they are for good. */
const SEALS = 1 | 2 | 4;
const SYS_MEMFD_SECRET = 447;
const ENOSYS = 38;

/** Shared memory behind a descriptor that can neither shrink nor grow. The descriptor closes on exec. */
export function createSealedMemory(name: string, bytes: number): number {
  const fd = check(memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), 'memfd_create');
  check(ftruncate(fd, bytes), 'ftruncate');
  check(fcntl(fd, F_ADD_SEALS, SEALS), 'fcntl');
  return fd;
}

/** Whether a descriptor is memory of exactly that many bytes which can neither shrink nor grow. */
export function isSealed(fd: number, bytes: number): boolean {
  const seals = fcntl(fd, F_GET_SEALS, 0);
  return seals >= 0 && (seals & SEALS) === SEALS && lseek(fd, 0, SEEK_END) === bytes;
}

/** Maps a descriptor over addresses that this process owns already; what lay there is gone. */
export function mapOver(address: number, bytes: number, fd: number): void {
  if (mmap(address, bytes, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) !== address) {
    throw systemError(lastErrno(), 'mmap');
  }
}

/** Maps a descriptor where there is room, shared with all who map it, and returns the address. */
export function mapDescriptor(fd: number, bytes: number, offset: number): number {
  const address = mmap(0, bytes, PROT_READ_WRITE, MAP_SHARED, fd, offset);
  if (address === -1) throw systemError(lastErrno(), 'mmap');
  return address;
}

export function unmap(address: number, bytes: number): void {
  check(munmap(address, bytes), 'munmap');
}

/** Whether this kernel has `memfd_secret` (it can be built without it, or booted with `secretmem.enable=0`). */
export function hasSecretMemory(): boolean {
  const fd = syscallNumber(SYS_MEMFD_SECRET, 0);
  if (fd >= 0) closeDescriptor(fd);
  return fd >= 0 || lastErrno() !== ENOSYS;
}

/**
 * Memory that leaves the kernel's own map: not even root reads it through another process. It counts against
 * the limit of locked memory (EAGAIN beyond it). The descriptor is closed, so nothing can map it again.
 */
export function createSecretMemory(bytes: number): { address: number; buffer: ArrayBuffer } {
  const fd = check(syscallNumber(SYS_MEMFD_SECRET, 0), 'memfd_secret');
  try {
    check(ftruncate(fd, bytes), 'ftruncate');
    const address = mmap(0, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    if (address === -1) throw systemError(lastErrno(), 'mmap', 'secret memory');
    return { address, buffer: viewOf(address, bytes) };
  } finally {
    closeDescriptor(fd);
  }
}

/** The one constructor of WebAssembly that is used here; its types ship with browsers' only. */
declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum: number; shared: true }) => { buffer: SharedArrayBuffer };
};

/** Memory shared with another process: a true `SharedArrayBuffer`, and the address of its first byte. */
export interface SharedMapping {
  readonly address: number;
  readonly buffer: SharedArrayBuffer;
}

/**
 * Maps a descriptor over the pages of a shared WebAssembly memory, so that the result is a `SharedArrayBuffer`
 * by the language's own rules: atomics hold across processes, and WebAssembly can address it. The memory never
 * grows, and V8 keeps its pages reserved for as long as anything refers to the buffer.
 *
 * `bytes` must be a multiple of 65,536.
 */
export function mapShared(fd: number, bytes: number): SharedMapping {
  const pages = bytes / WASM_PAGE_BYTES;
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const address = addressOf(new Uint8Array(buffer));
  mapOver(address, bytes, fd);
  return { address, buffer };
}

/** Gives the pages of a shared mapping back now rather than when the buffer is collected; it reads as zeroes from here on. */
export function discardShared({ address, buffer }: SharedMapping): void {
  if (
    mmap(
      address,
      buffer.byteLength,
      PROT_READ_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
      -1,
      0,
    ) !== address
  ) {
    throw systemError(lastErrno(), 'mmap');
  }
}
