import * as fs from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseFile, FileSystem } from './file-system.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** The files of `node:fs`, for the same SQLite without an enclave. There are no locks: the caller is alone. */
export class NodeFiles implements FileSystem {
  open(path: string, create: boolean): DatabaseFile | undefined {
    if (!create && !this.exists(path)) return undefined;
    const { O_RDWR, O_CREAT } = fs.constants;
    return new NodeFile(fs.openSync(path, create ? O_RDWR | O_CREAT : O_RDWR));
  }

  exists(path: string): boolean {
    return fs.existsSync(path);
  }

  remove(path: string, durable: boolean): void {
    fs.unlinkSync(path);
    if (!durable) return;
    const folder = fs.openSync(dirname(path), 'r');
    fs.fsyncSync(folder);
    fs.closeSync(folder);
  }
}

class NodeFile implements DatabaseFile {
  readonly afterCrash = 'any';
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  read(buffer: Bytes, position: number): number {
    return fs.readSync(this.#descriptor, buffer, 0, buffer.length, position);
  }

  write(bytes: Bytes, position: number): void {
    for (let done = 0; done < bytes.length; ) {
      done += fs.writeSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
    }
  }

  truncate(length: number): void {
    fs.ftruncateSync(this.#descriptor, length);
  }

  sync(): void {
    fs.fsyncSync(this.#descriptor);
  }

  size(): number {
    return fs.fstatSync(this.#descriptor).size;
  }

  tryLock(): boolean {
    return true;
  }

  unlock(): void {}

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}
