/** A read that goes on until it is waited for. */
export interface StartedRead {
  /** Waits for it and says how many bytes came into `target`, which is as long as what was asked for; once. */
  finish(target: Uint8Array<ArrayBuffer>): number;
}

/** A write that goes on until it is waited for. */
export interface StartedWrite {
  /** Waits until all of it is written, or throws; once. */
  finish(): void;
}

/** The host's file that a protected mount lies in. Nothing that it returns is believed before it is opened. */
export interface BlockFile {
  /** In bytes. */
  size(): number;
  /** Reads into `bytes` and says how many; fewer than all only at the end of the file. */
  read(position: number, bytes: Uint8Array<ArrayBuffer>): number;
  /** As `read`, and the thread goes on until it finishes it; until then `bytes` is the store's to use. */
  startRead(position: number, bytes: Uint8Array<ArrayBuffer>): StartedRead;
  readAsync(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Writes all of `bytes` or throws. */
  write(position: number, bytes: Uint8Array<ArrayBuffer>): void;
  /** As `write`, of a piece, and the thread goes on until it finishes it; until then `bytes` stays as it is. */
  startWrite(position: number, bytes: Uint8Array<ArrayBuffer>): StartedWrite;
  writeAsync(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Makes what was written durable. */
  sync(): void;
  syncAsync(): Promise<void>;
  /** Cuts the file to so many bytes. */
  truncate(bytes: number): void;
  close(): void;
}
