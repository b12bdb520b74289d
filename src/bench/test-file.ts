import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { MachineError } from '../errors.ts';
import { check } from '../linux/ffi.ts';
import { forgetCached, readCached } from '../linux/files.ts';
import { Structure } from '../linux/structure.ts';

const { EAGAIN } = constants.errno;
const CHUNK_BYTES = 1_048_576;

/** A file in a directory of its own, on the disk and in the page cache, until it is disposed of. */
export class TestFile implements Disposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'sgxio-bench-'));
  readonly name = 'file';
  readonly path: string = join(this.directory, this.name);
  readonly descriptor: number = openSync(this.path, 'wx+');
  readonly bytes: number;

  /** @throws MachineError where the file system keeps all in memory. */
  constructor(bytes: number) {
    this.bytes = bytes;
    const chunk = Buffer.alloc(CHUNK_BYTES, 1);
    for (let written = 0; written < bytes; written += CHUNK_BYTES) writeSync(this.descriptor, chunk);
    fsyncSync(this.descriptor);
    this.drop();
    if (this.#isCached()) {
      this[Symbol.dispose]();
      throw new MachineError(
        'SGXIO_UNSUPPORTED_MACHINE',
        `${tmpdir()} has no disk below it to wait for; set TMPDIR to a directory that has`,
      );
    }
  }

  /** Makes the next reads wait for the disk, but for a few pages that the kernel is about to use. */
  drop(): void {
    check(forgetCached(this.descriptor), 'posix_fadvise');
  }

  /** True too where the file system cannot tell, as one in memory. */
  #isCached(): boolean {
    for (let position = 0; position < this.bytes; position += CHUNK_BYTES) {
      if (readCached(this.descriptor, probe.address, 1, position) === -EAGAIN) return false;
    }
    return true;
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor);
    rmSync(this.directory, { recursive: true });
  }
}

const probe = new Structure(1);
