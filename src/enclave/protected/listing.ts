export interface ProtectedEntry {
  readonly name: string;
  readonly type: 'file' | 'directory';
}

/** The entries that a directory had when it was opened, each once. */
export class ProtectedDirectory {
  readonly path: string;
  #entries: readonly ProtectedEntry[];

  constructor(path: string, entries: readonly ProtectedEntry[]) {
    this.path = path;
    this.#entries = entries;
  }

  *[Symbol.iterator](): IterableIterator<ProtectedEntry> {
    yield* this.#entries;
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<ProtectedEntry> {
    yield* this.#entries;
  }

  entries(_options?: object): AsyncIterableIterator<ProtectedEntry> {
    return this[Symbol.asyncIterator]();
  }

  close(): void {
    this.#entries = [];
  }

  async closeAsync(): Promise<void> {
    this.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
