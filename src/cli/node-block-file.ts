import {
  closeSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  write,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import {
  type BlockFile,
  LateRead,
  type StartedRead,
  type StartedWrite,
} from '../enclave/protected/block-file.ts';
import { systemError } from '../linux/ffi.ts';
import { LOCK_EX, LOCK_SH, lockFile } from '../linux/files.ts';

const writeFile = promisify(write);
const syncFile = promisify(fsync);

/** The store of a protected mount as a file of this machine: what tools outside an enclave use. */
export class NodeBlockFile implements BlockFile {
  readonly #descriptor: number;

  constructor(path: string, flags: 'r' | 'r+' | 'wx+') {
    this.#descriptor = openSync(path, flags, 0o600);
  }

  /** Locks the file against others that lock it; false when they have it. */
  tryLock(shared: boolean): boolean {
    const result = lockFile(this.#descriptor, shared ? LOCK_SH : LOCK_EX);
    if (result < 0 && result !== -constants.errno.EAGAIN) throw systemError(-result, 'flock');
    return result === 0;
  }

  size(): number {
    return fstatSync(this.#descriptor).size;
  }

  read(position: number, bytes: Uint8Array<ArrayBuffer>): number {
    for (let done = 0; ; ) {
      const count = readSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
      done += count;
      if (count === 0 || done === bytes.length) return done;
    }
  }

  startRead(position: number): StartedRead {
    return new LateRead(this, position);
  }

  write(position: number, bytes: Uint8Array<ArrayBuffer>): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
    }
  }

  startWrite(position: number, bytes: Uint8Array<ArrayBuffer>): StartedWrite {
    this.write(position, bytes);
    return { finish: () => {} };
  }

  async writeAsync(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await writeFile(
        this.#descriptor,
        bytes,
        done,
        bytes.length - done,
        position + done,
      );
      done += bytesWritten;
    }
  }

  sync(): void {
    fsyncSync(this.#descriptor);
  }

  async syncAsync(): Promise<void> {
    await syncFile(this.#descriptor);
  }

  truncate(bytes: number): void {
    ftruncateSync(this.#descriptor, bytes);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
