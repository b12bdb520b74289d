import { constants } from 'node:os';
import { SgxioError, SystemError } from '../../errors.ts';
import type { File } from '../file.ts';
import type { StartedCall } from '../transfer.ts';
import type { BlockFile, StartedRead, StartedWrite } from './block-file.ts';

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

  startRead(position: number, bytes: Uint8Array<ArrayBuffer>): StartedRead {
    const started = ifRoom(() => this.#file.startRead(bytes, position));
    if (started === undefined) return { finish: (target) => this.read(position, target) };
    return {
      finish: (target) => {
        const count = started.finish(target);
        // A piece that came short, in the middle of the file or at its end.
        if (count === 0 || count === target.length) return count;
        return count + this.read(position + count, target.subarray(count));
      },
    };
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

  startWrite(position: number, bytes: Uint8Array<ArrayBuffer>): StartedWrite {
    const started = ifRoom(() => this.#file.startWrite(bytes, position));
    return {
      finish: () => {
        const count = started?.finish() ?? 0;
        this.write(position + count, bytes.subarray(count));
      },
    };
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

/** Undefined when calls in flight take all room: then it is done when it is waited for. */
function ifRoom(start: () => StartedCall): StartedCall | undefined {
  try {
    return start();
  } catch (error) {
    if (error instanceof SgxioError && error.code === 'SGXIO_CHANNEL_FULL') return undefined;
    throw error;
  }
}
