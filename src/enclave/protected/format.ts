import { PAGE_BYTES } from '../../limits.ts';

/**
 * What lies where in the store of a protected mount. docs/protected-files.md is the description to build another
 * implementation from; this file has its numbers. All integers are little-endian; 64-bit ones stay below 2^53.
 */

export const FORMAT_VERSION = 1;
/** `sgxiopf` and a zero byte. */
export const MAGIC: readonly number[] = [0x73, 0x67, 0x78, 0x69, 0x6f, 0x70, 0x66, 0];

export const BLOCK_BYTES: number = PAGE_BYTES;
export const MOUNT_ID_BYTES = 16;
export const MOUNT_KEY_BYTES = 32;
export const MARK_BYTES = 16;

/** The first slots of the store each have room for one root record; blocks lie in the others. */
export const ROOT_SLOTS = 4;

/** A root record: what identifies the mount and its nonce and tag in the clear, then the sealed root. */
export const RootHeader = { magic: 0, version: 8, mountId: 16, nonce: 32, tag: 48, bytes: 64 } as const;
export const ROOT_BYTES = 448;

/** Where the fields of the root lie, once opened. */
export const Root = {
  transaction: 0,
  /** What the monotonic counter reads when this root is the newest, and the tag of the root before. */
  count: 8,
  previousMark: 16,
  /** The number that the next new record of the table of files will have. */
  nextNumber: 32,
  /** The first free record, or 0. */
  firstFree: 40,
  /** Slots of the store, root slots included: none behind them is in use. */
  end: 48,
  /** The record of the table of files itself. */
  table: 64,
} as const;

/** An entry: where a block lies and what its content must be. All zero, the block is a hole. */
export const Entry = { slot: 0, nonce: 4, tag: 16, bytes: 32 } as const;
export const NONCE_BYTES = 12;
/** The first bytes of a nonce tell the generation of the key; the others are drawn at random. */
export const NONCE_GENERATION_BYTES = 2;

/** Entries of an index block. */
export const FANOUT: number = BLOCK_BYTES / Entry.bytes;
/** Index levels that a file may have: with five, slots run out before blocks. */
export const HEIGHT_MAX = 5;

/** A record of the table of files. */
export const FileRecord = {
  kind: 0,
  height: 1,
  mode: 2,
  incarnation: 4,
  size: 8,
  seals: 16,
  entry: 24,
  /** Milliseconds since 1970, as IEEE 754 doubles. */
  accessed: 56,
  modified: 64,
  changed: 72,
  born: 80,
  /** The directory that names it. */
  parent: 88,
  /** Of a directory: how many names it has, and the logarithm of its blocks. */
  children: 96,
  bucketBits: 104,
  /** Of a free record: the next one, or 0. */
  nextFree: 112,
  bytes: 128,
} as const;
export const RECORDS_PER_BLOCK: number = BLOCK_BYTES / FileRecord.bytes;

export const FileKind = { free: 0, file: 1, directory: 2 } as const;

/** Numbers of the table of files with a meaning of their own. */
export const TABLE = 0;
export const ROOT_DIRECTORY = 1;
/** Files without a name that are open, so that they can be given back after a crash. */
export const ORPHANS = 2;
export const FIRST_NUMBER = 3;

/** A name in a block of a directory; a length of zero ends the block. */
export const Name = { length: 0, kind: 1, hash: 2, number: 6, text: 10 } as const;
export const NAME_BYTES_MAX = 255;

const TWO_TO_32 = 2 ** 32;

export function readNumber(view: DataView<ArrayBuffer>, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_TO_32;
}

export function writeNumber(view: DataView<ArrayBuffer>, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / TWO_TO_32), true);
}

/** The name of the store in the host's directory. */
export const STORE_NAME = 'files.sgxio';
