import { constants } from 'node:fs';
import { BLOCK_BYTES, FileKind } from './format.ts';
import type { Tree } from './tree.ts';

const SECTOR_BYTES = 512;

/** The status of a protected file, in the words of `fs.Stats`: sizes in bytes, times in milliseconds. */
export class ProtectedStats {
  readonly size: number;
  /** Type and permissions. The permissions are kept, and nothing is refused for them. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number = 0;
  readonly gid: number = 0;
  readonly ino: number;
  readonly blksize: number = BLOCK_BYTES;
  /** What it would take without holes, in units of 512 bytes. */
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;

  constructor(tree: Tree) {
    const directory = tree.kind === FileKind.directory;
    this.size = tree.size;
    this.mode = (directory ? constants.S_IFDIR : constants.S_IFREG) | tree.mode;
    this.nlink = directory ? 2 : 1;
    this.ino = tree.number;
    this.blocks = Math.ceil(tree.size / BLOCK_BYTES) * (BLOCK_BYTES / SECTOR_BYTES);
    this.atimeMs = tree.time('accessed');
    this.mtimeMs = tree.time('modified');
    this.ctimeMs = tree.time('changed');
    this.birthtimeMs = tree.time('born');
  }

  isFile(): boolean {
    return (this.mode & constants.S_IFMT) === constants.S_IFREG;
  }

  isDirectory(): boolean {
    return (this.mode & constants.S_IFMT) === constants.S_IFDIR;
  }

  isSymbolicLink(): boolean {
    return false;
  }
}
