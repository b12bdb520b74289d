import { constants } from 'node:os';
import { SystemError } from '../../errors.ts';
import type { File } from '../file.ts';
import type { StartedCall } from '../transfer.ts';
import { type BlockFile, LateRead, type StartedRead, type StartedWrite } from './block-file.ts';

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

  startRead(position: number, length: number): StartedRead {
    const call = this.#file.startRead(length, position);
    return call === undefined ? new LateRead(this, position) : new PieceRead(this, position, call);
  }

  write(position: number, bytes: Uint8Array<ArrayBuffer>): void {
    for (let done = 0; done < bytes.length; ) {
      const count = this.#file.write(bytes.subarray(done), { position: position + done });
      if (count === 0) throw this.#full();
      done += count;
    }
  }

  startWrite(position: number, bytes: Uint8Array<ArrayBuffer>): StartedWrite {
    const started = this.#file.startWrite(bytes, position);
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

class PieceRead implements StartedRead {
  readonly #store: HostStore;
  readonly #position: number;
  readonly #call: StartedCall;

  constructor(store: HostStore, position: number, call: StartedCall) {
    this.#store = store;
    this.#position = position;
    this.#call = call;
  }

  get isDone(): boolean {
    return this.#call.isDone;
  }

  arrived(): Promise<void> {
    return this.#call.arrived();
  }

  finish(target: Uint8Array<ArrayBuffer>): number {
    const count = this.#call.finish(target);
    // It came short, in the middle of the file or at its end.
    if (count === 0 || count === target.length) return count;
    return count + this.#store.read(this.#position + count, target.subarray(count));
  }

  drop(): void {
    this.#call.drop();
  }
}
