/** What SQLite needs of a file system. Calls wait; an error of the file system's own is thrown. */
export interface FileSystem {
  /** Opens a file for reading and writing, or makes it; undefined when it is not there and not to be made. */
  open(path: string, create: boolean): DatabaseFile | undefined;
  exists(path: string): boolean;
  /** Removes a file, for good when `durable`. */
  remove(path: string, durable: boolean): void;
}

/**
 * What a crash leaves of the writes after the last sync: `any` of them; `none`, so that what is there is the state of
 * the last sync of any file; or `none` while nobody but SQLite asks for syncs.
 */
export type AfterCrash = 'any' | 'none' | 'none, undisturbed';

export interface DatabaseFile {
  readonly afterCrash: AfterCrash;
  /** Reads into `buffer` and says how many bytes: fewer than its length only at the end of the file. */
  read(buffer: Uint8Array<ArrayBuffer>, position: number): number;
  /** Writes all of the bytes. */
  write(bytes: Uint8Array<ArrayBuffer>, position: number): void;
  truncate(length: number): void;
  sync(): void;
  size(): number;
  /** Keeps the file from other connections; false when one has it. */
  tryLock(): boolean;
  unlock(): void;
  close(): void;
}
