/** A read that goes on until it is waited for. */
export interface StartedRead {
  /** Waits for it and says how many bytes; once. */
  finish(): number;
}

/** The host's file that a protected mount lies in. Nothing that it returns is believed before it is opened. */
export interface BlockFile {
  /** In bytes. */
  size(): number;
  /** Reads into `bytes` and says how many; fewer than all only at the end of the file. */
  read(position: number, bytes: Uint8Array<ArrayBuffer>): number;
  /** As `read`, and the thread goes on until it finishes it. */
  startRead(position: number, bytes: Uint8Array<ArrayBuffer>): StartedRead;
  readAsync(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Writes all of `bytes` or throws. */
  write(position: number, bytes: Uint8Array<ArrayBuffer>): void;
  writeAsync(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Makes what was written durable. */
  sync(): void;
  syncAsync(): Promise<void>;
  /** Cuts the file to so many bytes. */
  truncate(bytes: number): void;
  close(): void;
}
