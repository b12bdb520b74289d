import { readdirSync, readlinkSync } from 'node:fs';
import process from 'node:process';
import { SystemError } from '../../src/errors.ts';
import { Uring } from '../../src/linux/uring.ts';

/** Why there is no io_uring here, or false if there is. */
export function ioUringRefusal(): string | false {
  try {
    new Uring(1).close();
    return false;
  } catch (error) {
    if (process.env['CI'] !== undefined || !(error instanceof SystemError)) throw error;
    return `io_uring is off (${error.code}): set sysctl kernel.io_uring_disabled=0, or allow it in the container`;
  }
}

/** How many rings of the kernel this process holds. */
export function openRings(): number {
  return readdirSync('/proc/self/fd').filter((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === 'anon_inode:[io_uring]';
    } catch {
      return false;
    }
  }).length;
}
