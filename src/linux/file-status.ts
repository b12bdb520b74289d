const TWO_TO_32 = 2 ** 32;

/** `struct statx`, the same on every machine. */
export const FILE_STATUS_BYTES = 256;

/** Where a time lies in it. */
export const ACCESS_TIME = 64;
export const BIRTH_TIME = 80;
export const CHANGE_TIME = 96;
export const MODIFY_TIME = 112;

/** Reads a `struct statx` in place. 64-bit fields are exact up to 2^53. */
export class FileStatus {
  readonly #view: DataView;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, FILE_STATUS_BYTES);
  }

  /** The size of block that suits the file system, in bytes. */
  get blockBytes(): number {
    return this.#view.getUint32(4, true);
  }

  get links(): number {
    return this.#view.getUint32(16, true);
  }

  get user(): number {
    return this.#view.getUint32(20, true);
  }

  get group(): number {
    return this.#view.getUint32(24, true);
  }

  /** Type and permissions, as `S_IFMT` and the like of `node:fs` take them apart. */
  get mode(): number {
    return this.#view.getUint16(28, true);
  }

  get inode(): number {
    return this.#unsigned64(32);
  }

  get size(): number {
    return this.#unsigned64(40);
  }

  /** What it takes on the disk, in units of 512 bytes. */
  get blocks(): number {
    return this.#unsigned64(48);
  }

  get deviceMajor(): number {
    return this.#view.getUint32(136, true);
  }

  get deviceMinor(): number {
    return this.#view.getUint32(140, true);
  }

  /** Since 1970, rounded down; negative before. */
  secondsOf(time: number): number {
    return this.#view.getUint32(time, true) + this.#view.getInt32(time + 4, true) * TWO_TO_32;
  }

  nanosecondsOf(time: number): number {
    return this.#view.getUint32(time + 8, true);
  }

  #unsigned64(offset: number): number {
    return this.#view.getUint32(offset, true) + this.#view.getUint32(offset + 4, true) * TWO_TO_32;
  }
}
