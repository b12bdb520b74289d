import { constants } from 'node:os';
import { SystemError } from '../../errors.ts';
import type { File } from '../file.ts';
import type { BlockFile } from './block-file.ts';

/** The store of a protected mount as a file of the host's, reached by the plain service of files. */
export class HostStore implements BlockFile {
  readonly #file: File;

  constructor(file: File) {
    this.#file = file;
  }

  size(): number {
    return this.#file.stat().size;
  }

  read(position: number, bytes: Uint8Array<ArrayBuffer>): number {
    return this.#file.read(bytes, { position });
  }

  readAsync(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#file.readAsync(bytes, { position });
  }

  write(position: number, bytes: Uint8Array<ArrayBuffer>): void {
    for (let done = 0; done < bytes.length; ) {
      const count = this.#file.write(bytes.subarray(done), { position: position + done });
      if (count === 0) throw this.#full();
      done += count;
    }
  }

  async writeAsync(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const count = await this.#file.writeAsync(bytes.subarray(done), { position: position + done });
      if (count === 0) throw this.#full();
      done += count;
    }
  }

  sync(): void {
    this.#file.syncData();
  }

  async syncAsync(): Promise<void> {
    await this.#file.syncDataAsync();
  }

  truncate(bytes: number): void {
    this.#file.truncate(bytes);
  }

  close(): void {
    this.#file.close();
  }

  /** A host that writes nothing and says nothing of it. */
  #full(): SystemError {
    return new SystemError('ENOSPC', -constants.errno.ENOSPC, 'write', this.#file.path);
  }
}
