import { files, SystemError } from '../../src/enclave.ts';
import type { AfterCrash, DatabaseFile, FileSystem } from './file-system.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Where files come from: all mounts of the enclave, or one protected mount. */
type Source = Pick<files.ProtectedMount | typeof files, 'open' | 'stat' | 'unlink'>;

/**
 * The files of an enclave's mounts, for SQLite. A sync of a protected mount takes all of it from one state to the next,
 * so that a crash leaves nothing of what was written since.
 */
export class EnclaveFiles implements FileSystem {
  readonly #source: Source;
  readonly #undisturbed: boolean;
  readonly #open = new Set<EnclaveFile>();

  /** @param undisturbed whether nobody else in the enclave syncs the mounts, whose durability is not `write` */
  constructor(source: Source, undisturbed: boolean) {
    this.#source = source;
    this.#undisturbed = undisturbed;
  }

  open(path: string, create: boolean): DatabaseFile | undefined {
    const source = this.#source;
    const opened =
      withoutNone(() => source.open(path, 'r+')) ?? (create ? source.open(path, 'wx+') : undefined);
    if (opened === undefined) return undefined;
    const file = new EnclaveFile(opened, this.#undisturbed, () => this.#open.delete(file));
    this.#open.add(file);
    return file;
  }

  exists(path: string): boolean {
    return withoutNone(() => this.#source.stat(path)) !== undefined;
  }

  remove(path: string, durable: boolean): void {
    this.#source.unlink(path);
    // Of a protected mount any file will do: it is durable as a whole.
    if (durable) for (const file of this.#open) file.sync();
  }
}

class EnclaveFile implements DatabaseFile {
  readonly afterCrash: AfterCrash;
  readonly #file: files.File;
  readonly #onClose: () => void;

  constructor(file: files.File, undisturbed: boolean, onClose: () => void) {
    this.#file = file;
    this.#onClose = onClose;
    if (!(file instanceof files.ProtectedFile)) this.afterCrash = 'any';
    else this.afterCrash = undisturbed ? 'none, undisturbed' : 'none';
  }

  read(buffer: Bytes, position: number): number {
    return this.#file.read(buffer, { position });
  }

  write(bytes: Bytes, position: number): void {
    for (let done = 0; done < bytes.length; ) {
      done += this.#file.write(done === 0 ? bytes : bytes.subarray(done), { position: position + done });
    }
  }

  truncate(length: number): void {
    this.#file.truncate(length);
  }

  sync(): void {
    this.#file.sync();
  }

  size(): number {
    return this.#file.stat().size;
  }

  tryLock(): boolean {
    return this.#file.tryLock();
  }

  unlock(): void {
    this.#file.unlock();
  }

  close(): void {
    this.#onClose();
    this.#file.close();
  }
}

/** Undefined where there is nothing at the path. */
function withoutNone<Result>(action: () => Result): Result | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
