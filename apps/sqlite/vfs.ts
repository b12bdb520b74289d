import * as VFS from '@journeyapps/wa-sqlite/src/VFS.js';
import type { AfterCrash, DatabaseFile, FileSystem } from './file-system.ts';

/** The module as Emscripten made it, as far as it is used here. */
export interface SqliteModule {
  readonly HEAPU8: Uint8Array<ArrayBuffer>;
  UTF8ToString(address: number): string;
}

interface OpenFile {
  readonly path: string;
  readonly file: DatabaseFile;
  locked: boolean;
}

const SECTOR_BYTES = 4096;
const PATH_BYTES_MAX = 512;
const TWO_TO_32 = 0x1_0000_0000;

/** What SQLite may rely on. A sync of everything at once keeps the order of all writes. */
const ORDERED =
  VFS.SQLITE_IOCAP_SAFE_APPEND | VFS.SQLITE_IOCAP_SEQUENTIAL | VFS.SQLITE_IOCAP_POWERSAFE_OVERWRITE;

/**
 * The files of SQLite (its VFS, https://sqlite.org/vfs.html) in a file system. Numbers named `at` are addresses in the
 * module's memory.
 *
 * Any lock is a lock for this connection alone, as with SQLite's own `unix-flock`.
 */
export class FileSystemVfs extends VFS.Base {
  override readonly mxPathname: number = PATH_BYTES_MAX;
  readonly #module: SqliteModule;
  readonly #files: FileSystem;
  readonly #open = new Map<number, OpenFile>();
  /** What the file system threw first: SQLite itself has only numbers for errors. */
  #failure: unknown;

  constructor(name: string, module: SqliteModule, files: FileSystem) {
    super(name, module);
    this.#module = module;
    this.#files = files;
  }

  /** What the file system threw since this was asked last. */
  takeFailure(): unknown {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  /** What a crash leaves of an open file. */
  afterCrash(path: string): AfterCrash | undefined {
    return [...this.#open.values()].find((open) => open.path === path)?.file.afterCrash;
  }

  override xOpen(_vfs: number, nameAt: number, id: number, flags: number, flagsAt: number): number {
    return this.#attempt(VFS.SQLITE_CANTOPEN, () => {
      // Temporary files have no name: SQLite is told to keep them in memory.
      if (nameAt === 0) return VFS.SQLITE_CANTOPEN;
      const path = this.#module.UTF8ToString(nameAt);
      const file = this.#files.open(path, (flags & VFS.SQLITE_OPEN_CREATE) !== 0);
      if (file === undefined) return VFS.SQLITE_CANTOPEN;
      this.#open.set(id, { path, file, locked: false });
      if (flagsAt !== 0) this.#put(flagsAt, flags);
      return VFS.SQLITE_OK;
    });
  }

  override xClose(id: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_CLOSE, () => {
      // What could not be opened is closed too.
      const file = this.#open.get(id)?.file;
      this.#open.delete(id);
      file?.close();
      return VFS.SQLITE_OK;
    });
  }

  override xRead(id: number, at: number, length: number, low: number, high: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_READ, () => {
      const buffer = this.#bytes(at, length);
      const count = this.#of(id).file.read(buffer, wide(low, high));
      if (count === length) return VFS.SQLITE_OK;
      buffer.fill(0, count);
      return VFS.SQLITE_IOERR_SHORT_READ;
    });
  }

  override xWrite(id: number, at: number, length: number, low: number, high: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_WRITE, () => {
      this.#of(id).file.write(this.#bytes(at, length), wide(low, high));
      return VFS.SQLITE_OK;
    });
  }

  override xTruncate(id: number, low: number, high: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_TRUNCATE, () => {
      this.#of(id).file.truncate(wide(low, high));
      return VFS.SQLITE_OK;
    });
  }

  override xSync(id: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_FSYNC, () => {
      this.#of(id).file.sync();
      return VFS.SQLITE_OK;
    });
  }

  override xFileSize(id: number, at: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_FSTAT, () => {
      const size = this.#of(id).file.size();
      this.#put(at, size);
      this.#put(at + 4, Math.floor(size / TWO_TO_32));
      return VFS.SQLITE_OK;
    });
  }

  override xLock(id: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_LOCK, () => {
      const open = this.#of(id);
      open.locked ||= open.file.tryLock();
      return open.locked ? VFS.SQLITE_OK : VFS.SQLITE_BUSY;
    });
  }

  override xUnlock(id: number, level: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_UNLOCK, () => {
      const open = this.#of(id);
      if (level !== VFS.SQLITE_LOCK_NONE || !open.locked) return VFS.SQLITE_OK;
      open.locked = false;
      open.file.unlock();
      return VFS.SQLITE_OK;
    });
  }

  /** Whether another connection is about to write: who asks has the file for itself. */
  override xCheckReservedLock(_id: number, at: number): number {
    this.#put(at, 0);
    return VFS.SQLITE_OK;
  }

  override xSectorSize(): number {
    return SECTOR_BYTES;
  }

  override xDeviceCharacteristics(id: number): number {
    return this.#of(id).file.afterCrash === 'any' ? VFS.SQLITE_IOCAP_POWERSAFE_OVERWRITE : ORDERED;
  }

  override xAccess(_vfs: number, nameAt: number, _flags: number, at: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_ACCESS, () => {
      this.#put(at, this.#files.exists(this.#module.UTF8ToString(nameAt)) ? 1 : 0);
      return VFS.SQLITE_OK;
    });
  }

  override xDelete(_vfs: number, nameAt: number, durable: number): number {
    return this.#attempt(VFS.SQLITE_IOERR_DELETE, () => {
      const path = this.#module.UTF8ToString(nameAt);
      if (!this.#files.exists(path)) return VFS.SQLITE_IOERR_DELETE_NOENT;
      this.#files.remove(path, durable !== 0);
      return VFS.SQLITE_OK;
    });
  }

  override xFullPathname(_vfs: number, nameAt: number, length: number, at: number): number {
    const { HEAPU8 } = this.#module;
    const end = HEAPU8.indexOf(0, nameAt) + 1;
    if (end - nameAt > length) return VFS.SQLITE_CANTOPEN;
    HEAPU8.copyWithin(at, nameAt, end);
    return VFS.SQLITE_OK;
  }

  #of(id: number): OpenFile {
    return this.#open.get(id)!;
  }

  /** The module's memory is another one after it grew. */
  #bytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    return this.#module.HEAPU8.subarray(at, at + length);
  }

  #put(at: number, value: number): void {
    new DataView(this.#module.HEAPU8.buffer).setUint32(at, value % TWO_TO_32, true);
  }

  #attempt(code: number, action: () => number): number {
    try {
      return action();
    } catch (error) {
      this.#failure ??= error;
      return code;
    }
  }
}

/** A number of 64 bits that came in two halves. */
function wide(low: number, high: number): number {
  return high * TWO_TO_32 + (low >>> 0);
}
