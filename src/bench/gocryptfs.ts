import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** A mounted gocryptfs (https://nuetzlich.net/gocryptfs): encrypted files by way of FUSE. */
export interface Gocryptfs extends Disposable {
  /** Where its files are seen. */
  readonly folder: string;
  /** Its process, which does the work; undefined where it cannot be found. */
  readonly pid: number | undefined;
}

/** Why there is none, and what to do. */
export interface Missing {
  readonly reason: string;
}

/** Ends a mount that was left behind. */
const IDLE = '5m';

/** Makes and mounts an empty gocryptfs below `root`. */
export function mountGocryptfs(root: string): Gocryptfs | Missing {
  if (!existsSync('/dev/fuse')) return { reason: 'there is no /dev/fuse: load the module fuse' };
  const [sealed, folder, password] = ['sealed', 'gocryptfs', 'password'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const made of [sealed, folder]) mkdirSync(made);
  writeFileSync(password, 'bench');
  const failure =
    failureOf(
      root,
      'gocryptfs',
      '-init',
      '-q',
      '-nosyslog',
      '-scryptn',
      '10',
      '-passfile',
      password,
      sealed,
    ) ??
    failureOf(root, 'gocryptfs', '-q', '-nosyslog', '-idle', IDLE, '-passfile', password, sealed, folder);
  if (failure !== undefined) return { reason: failure };
  return {
    folder,
    pid: processOf(folder),
    [Symbol.dispose]: () => void failureOf(root, 'fusermount3', '-u', folder),
  };
}

/** The process that serves a folder: it went to the background by itself, so that nobody was told its number. */
function processOf(folder: string): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.find((pid) => {
    const words = commandOf(pid);
    return words[0]?.endsWith('gocryptfs') && words.includes(folder);
  });
  return found === undefined ? undefined : Number(found);
}

function commandOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // It has ended since its number was read.
    return [];
  }
}

/** Runs a command, which may stay in the background; undefined when it succeeds. */
function failureOf(root: string, command: string, ...given: string[]): string | undefined {
  // A file and not a pipe, which would end only with the mount.
  const complaints = join(root, 'complaints');
  const descriptor = openSync(complaints, 'w');
  try {
    const { error, status } = spawnSync(command, given, { stdio: ['ignore', 'ignore', descriptor] });
    if (error !== undefined) return `${command} cannot be run: apt-get install gocryptfs fuse3`;
    if (status === 0) return undefined;
    return `${command} failed: ${readFileSync(complaints, 'utf8').trim().split('\n').at(-1)}`;
  } finally {
    closeSync(descriptor);
  }
}
