import { constants } from 'node:fs';
import {
  ACCESS_TIME,
  BIRTH_TIME,
  CHANGE_TIME,
  FILE_STATUS_BYTES,
  FileStatus,
  MODIFY_TIME,
} from '../linux/file-status.ts';
import { runtime } from './runtime.ts';

const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK } = constants;
const TYPES: ReadonlySet<number> = new Set([S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK]);
const NANOSECONDS_A_SECOND = 1e9;

/** The status of a file, as the host tells it, in the words of `fs.Stats`: sizes in bytes, times in milliseconds. */
export class Stats {
  readonly size: number;
  /** Type and permissions. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: number;
  readonly blksize: number;
  /** In units of 512 bytes. */
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;

  /** Reads a private copy of a `struct statx`. What no file can be is a violation of the host. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    const status = new FileStatus(bytes);
    this.size = exact(status.size, 'size');
    this.mode = status.mode;
    this.nlink = status.links;
    this.uid = status.user;
    this.gid = status.group;
    this.ino = status.inode;
    this.blksize = status.blockBytes;
    this.blocks = exact(status.blocks, 'number of blocks');
    this.atimeMs = milliseconds(status, ACCESS_TIME);
    this.mtimeMs = milliseconds(status, MODIFY_TIME);
    this.ctimeMs = milliseconds(status, CHANGE_TIME);
    this.birthtimeMs = milliseconds(status, BIRTH_TIME);
    if (!TYPES.has(this.mode & S_IFMT)) {
      runtime().calls.violate(`the host gave a file the mode ${this.mode}, which is of no type`);
    }
  }

  isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }

  isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }

  isSymbolicLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }
}

/** Reads the status that a call of this result left in `view`: whole, or the host lied. */
export function statsIn(view: Uint8Array<ArrayBuffer>, result: number): Stats {
  if (result !== FILE_STATUS_BYTES) runtime().calls.violate(`the host gave ${result} bytes of a status`);
  return new Stats(view);
}

function exact(value: number, what: string): number {
  if (!Number.isSafeInteger(value)) runtime().calls.violate(`the host gave a file the ${what} ${value}`);
  return value;
}

function milliseconds(status: FileStatus, time: number): number {
  const seconds = exact(status.secondsOf(time), 'time');
  const nanoseconds = status.nanosecondsOf(time);
  if (nanoseconds >= NANOSECONDS_A_SECOND) {
    runtime().calls.violate(`the host gave ${nanoseconds} nanoseconds of a second`);
  }
  return seconds * 1000 + nanoseconds / 1e6;
}
