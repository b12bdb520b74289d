import { constants } from 'node:fs';

/**
 * The wire format of the calls on files, beyond what every call has. A path is UTF-8 below a mount, which is
 * named by its index among the grants of the image; a position is two words, or -1 for where the file is at.
 */

/** What a program may ask of open(2): the flags of this machine. */
export const OPEN_FLAGS: number =
  constants.O_WRONLY |
  constants.O_RDWR |
  constants.O_CREAT |
  constants.O_EXCL |
  constants.O_TRUNC |
  constants.O_APPEND |
  constants.O_SYNC |
  constants.O_NOFOLLOW |
  constants.O_DIRECTORY;

/** Those of them that a mount granted for reading refuses. */
export const WRITING_FLAGS: number =
  constants.O_WRONLY | constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND;

/** Permissions as chmod(2) takes them. */
export const MODE_BITS = 0o7777;

/** `a0` of a lock call. */
export const LockKind = { shared: 1, exclusive: 2, none: 3 } as const;

/** Two times, as the kernel takes them: seconds and nanoseconds of access, then of modification, 64 bits each. */
export const TIMES_BYTES = 32;

const TWO_TO_32 = 2 ** 32;

/** The two words of a position. */
export function lowWord(position: number): number {
  return position | 0;
}

export function highWord(position: number): number {
  return Math.floor(position / TWO_TO_32) | 0;
}

/** The position of two words; -1 stays -1. */
export function positionOf(low: number, high: number): number {
  return (low >>> 0) + high * TWO_TO_32;
}
