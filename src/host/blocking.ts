import { constants } from 'node:os';
import { FILE_TRANSFER_MAX } from '../limits.ts';
import { closeDescriptor } from '../linux/events.ts';
import { FILE_STATUS_BYTES } from '../linux/file-status.ts';
import * as files from '../linux/files.ts';
import { copyMemory } from '../linux/memory.ts';
import { resolveName } from '../linux/names.ts';
import * as paths from '../linux/paths.ts';
import { Structure } from '../linux/structure.ts';

/**
 * The system calls that may have to wait for a disk or a resolver, each a plain function of numbers and bytes at an address,
 * so that any thread can make them. They return what the kernel returns.
 */
export const Blocking = {
  open: 0,
  read: 1,
  write: 2,
  sync: 3,
  syncData: 4,
  truncate: 5,
  status: 6,
  linkStatus: 7,
  readDirectory: 8,
  makeDirectory: 9,
  removeDirectory: 10,
  unlink: 11,
  rename: 12,
  link: 13,
  symbolicLink: 14,
  readLink: 15,
  changeMode: 16,
  changeFileMode: 17,
  setTimes: 18,
  setFileTimes: 19,
  lookup: 20,
} as const;

/** What one of them needs beside its operation. What each number means is said at {@link perform}. */
export interface BlockingArguments {
  readonly operation: number;
  readonly descriptor: number;
  readonly first: number;
  readonly second: number;
  readonly position: number;
  /** Bytes of the payload. */
  readonly length: number;
}

const { EINVAL, ENOSYS } = constants.errno;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const text = new Structure(FILE_TRANSFER_MAX);

/** The text of `length` bytes at an address, copied before it is looked at; undefined when it is not UTF-8. */
export function textAt(address: number, length: number): string | undefined {
  if (length < 0 || length > FILE_TRANSFER_MAX) return undefined;
  if (length > 0) copyMemory(text.address, address, length);
  try {
    return decoder.decode(text.bytes.subarray(0, length));
  } catch {
    return undefined;
  }
}

/** Makes one call; its payload lies at `address`. */
export function perform(call: BlockingArguments, address: number): number {
  const { operation, descriptor, length, position } = call;
  switch (operation) {
    case Blocking.read:
      return position < 0
        ? files.read(descriptor, address, length)
        : files.readAt(descriptor, address, length, position);
    case Blocking.write:
      return position < 0
        ? files.write(descriptor, address, length)
        : files.writeAt(descriptor, address, length, position);
    case Blocking.sync:
      return files.syncFile(descriptor);
    case Blocking.syncData:
      return files.syncData(descriptor);
    case Blocking.truncate:
      return files.truncateFile(descriptor, position);
    case Blocking.readDirectory:
      return files.readDirectory(descriptor, address, length);
    case Blocking.changeFileMode:
      return files.changeDescriptorMode(descriptor, call.second);
    case Blocking.setFileTimes: {
      const times = timesAt(address);
      return files.setDescriptorTimes(descriptor, times[0], times[1], times[2], times[3]);
    }
    default:
      return performAtPath(call, address);
  }
}

/**
 * Those that find a path below the directory `descriptor`: the first `first` bytes of the payload, in UTF-8. A second
 * path is the rest. `second` is a mode, or the flags of an open whose mode is in `position`. The name of a look-up takes
 * the place of a path, and its family that of a mode.
 */
function performAtPath(call: BlockingArguments, address: number): number {
  const { operation, descriptor, first, second } = call;
  const path = textAt(address, first);
  if (path === undefined) return -EINVAL;
  switch (operation) {
    case Blocking.open:
      return paths.openBeneath(descriptor, path, second, call.position);
    case Blocking.status:
    case Blocking.linkStatus:
      return statusResult(paths.statBeneath(descriptor, path, operation === Blocking.status, address));
    case Blocking.makeDirectory:
      return paths.makeDirectory(descriptor, path, second);
    case Blocking.removeDirectory:
      return paths.removeDirectory(descriptor, path);
    case Blocking.lookup:
      return resolveName(path, second, address, call.length);
    case Blocking.unlink:
      return paths.unlinkFile(descriptor, path);
    case Blocking.readLink:
      return paths.readLink(descriptor, path, address, call.length);
    case Blocking.changeMode:
      return paths.changeMode(descriptor, path, second);
    case Blocking.setTimes: {
      const times = timesAt(address + first);
      return paths.setTimes(descriptor, path, times[0], times[1], times[2], times[3]);
    }
  }
  const otherPath = textAt(address + first, call.length - first);
  if (otherPath === undefined) return -EINVAL;
  switch (operation) {
    case Blocking.rename:
      return paths.rename(descriptor, path, descriptor, otherPath, 0);
    case Blocking.link:
      return paths.link(descriptor, path, descriptor, otherPath);
    case Blocking.symbolicLink:
      return paths.symbolicLink(path, descriptor, otherPath);
    default:
      return -ENOSYS;
  }
}

/** A status was written whole, or the error why not. */
export function statusResult(result: number): number {
  return result < 0 ? result : FILE_STATUS_BYTES;
}

const times = new Structure(32);

function timesAt(address: number): [number, number, number, number] {
  copyMemory(times.address, address, 32);
  return [times.get64(0), times.get64(8), times.get64(16), times.get64(24)];
}

/** What an operation made that nobody waits for any more is given back. */
export function discardResult(operation: number, result: number): void {
  if (operation === Blocking.open && result >= 0) closeDescriptor(result);
}
