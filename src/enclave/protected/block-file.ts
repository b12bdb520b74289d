/** A read that goes on until it is finished or dropped, one of the two. */
export interface StartedRead {
  /** Whether `finish` does not wait. */
  readonly isDone: boolean;
  /** When it is done, or dropped. */
  arrived(): Promise<void>;
  /** Waits for it and says how many bytes came into `target`, which is as long as what was asked for. */
  finish(target: Uint8Array<ArrayBuffer>): number;
  drop(): void;
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
  /** As `read`, of a piece of so many bytes, and the thread goes on meanwhile. */
  startRead(position: number, length: number): StartedRead;
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

/** A read of a store that can do nothing by itself: it is made when it is finished. */
export class LateRead implements StartedRead {
  readonly #file: BlockFile;
  readonly #position: number;
  readonly isDone = true;

  constructor(file: BlockFile, position: number) {
    this.#file = file;
    this.#position = position;
  }

  async arrived(): Promise<void> {}

  finish(target: Uint8Array<ArrayBuffer>): number {
    return this.#file.read(this.#position, target);
  }

  drop(): void {}
}
