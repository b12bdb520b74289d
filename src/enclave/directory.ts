import { CallKind } from '../boundary/kinds.ts';
import { FILE_TRANSFER_MAX } from '../limits.ts';
import { type DirectoryEntry, decodeDirectoryEntries } from '../linux/directory-entries.ts';
import { Open } from './open.ts';
import { runtime } from './runtime.ts';
import { type AsyncCallOptions, callAsync, callSync, Direction, type Transfer } from './transfer.ts';

/**
 * An open directory of the host. Iterating gives each entry that was there all the time once, in no order; what
 * is added or removed meanwhile may or may not be among them. The directory is closed at the end.
 *
 * Names come from the host: one is never `.`, `..`, or with a slash or a zero byte in it, but may come twice.
 */
export class Directory extends Open {
  readonly path: string;
  readonly #view = new Uint8Array(FILE_TRANSFER_MAX);

  constructor(handle: number, path: string) {
    super(handle);
    this.path = path;
  }

  *[Symbol.iterator](): IterableIterator<DirectoryEntry> {
    try {
      for (let entries = this.#next(); entries !== undefined; entries = this.#next()) yield* entries;
    } finally {
      this.close();
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<DirectoryEntry> {
    yield* this.entries();
  }

  /** As iterating with `for await`, under the given options for each call. */
  async *entries(options?: AsyncCallOptions): AsyncIterableIterator<DirectoryEntry> {
    try {
      for (;;) {
        const entries = this.#decode(await callAsync(this.#reading(), options));
        if (entries === undefined) return;
        yield* entries;
      }
    } finally {
      await this.closeAsync();
    }
  }

  #next(): DirectoryEntry[] | undefined {
    return this.#decode(callSync(this.#reading()));
  }

  #reading(): Transfer {
    return {
      kind: CallKind.readDirectory,
      handle: this.handle,
      view: this.#view,
      length: this.#view.length,
      direction: Direction.in,
      path: this.path,
    };
  }

  /** Undefined at the end of the directory. */
  #decode(length: number): DirectoryEntry[] | undefined {
    if (length === 0) return undefined;
    const entries = decodeDirectoryEntries(this.#view.subarray(0, length));
    return entries ?? runtime().calls.violate('the host gave directory entries that are none');
  }
}
