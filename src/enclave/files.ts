import { constants } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { CallKind } from '../boundary/kinds.ts';
import { InvalidArgumentError, SystemError } from '../errors.ts';
import { DIRECTORY_ENTRIES_MAX, PATH_BYTES_MAX } from '../limits.ts';
import type { DirectoryEntry } from '../linux/directory-entries.ts';
import { FILE_STATUS_BYTES } from '../linux/file-status.ts';
import { Directory } from './directory.ts';
import { checkMode, encodeTimes, File, type FileTimes } from './file.ts';
import { type GrantedPath, grantedPath } from './mounted-path.ts';
import { type Stats, statsIn } from './stats.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  type Transfer,
} from './transfer.ts';

/**
 * Files of the host below the mounts that the image was granted. A path is absolute and begins with a mount; a
 * link that leads out of its mount fails with EXDEV, as does moving from one mount to another.
 *
 * Calls that change what a path names act on a link itself, never on what it leads to.
 */
export type { DirectoryEntry, DirectoryEntryType } from '../linux/directory-entries.ts';
export { Directory } from './directory.ts';
export { type AtPosition, File, type FileTimes, type LockOptions } from './file.ts';
export type { Stats } from './stats.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_SYNC, O_DIRECTORY } = constants;

/** As those of `node:fs`. */
export type OpenFlags =
  | ('r' | 'rs' | 'r+' | 'rs+')
  | ('w' | 'wx' | 'w+' | 'wx+')
  | ('a' | 'ax' | 'as' | 'a+' | 'ax+' | 'as+');

const FLAGS: Readonly<Record<OpenFlags, number>> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  w: O_WRONLY | O_CREAT | O_TRUNC,
  wx: O_WRONLY | O_CREAT | O_TRUNC | O_EXCL,
  'w+': O_RDWR | O_CREAT | O_TRUNC,
  'wx+': O_RDWR | O_CREAT | O_TRUNC | O_EXCL,
  a: O_WRONLY | O_CREAT | O_APPEND,
  ax: O_WRONLY | O_CREAT | O_APPEND | O_EXCL,
  as: O_WRONLY | O_CREAT | O_APPEND | O_SYNC,
  'a+': O_RDWR | O_CREAT | O_APPEND,
  'ax+': O_RDWR | O_CREAT | O_APPEND | O_EXCL,
  'as+': O_RDWR | O_CREAT | O_APPEND | O_SYNC,
};

/** The permissions of a file that is created, less those of the host's umask. */
export interface Mode {
  readonly mode?: number;
}

const FILE_MODE = 0o666;
const DIRECTORY_MODE = 0o777;
const { EXDEV } = osConstants.errno;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Opens a file; `flags` are those of `node:fs`, `r` unless told. */
export function open(path: string, flags: OpenFlags = 'r', options?: Mode & CallOptions): File {
  return new File(callSync(opening(path, flags, options), options), path);
}

export async function openAsync(
  path: string,
  flags: OpenFlags = 'r',
  options?: Mode & AsyncCallOptions,
): Promise<File> {
  return new File(await callAsync(opening(path, flags, options), options), path);
}

function opening(path: string, flags: OpenFlags, options: Mode | undefined): Transfer {
  if (!Object.hasOwn(FLAGS, flags)) {
    throw new InvalidArgumentError(
      `there are no flags ${JSON.stringify(flags)}; write one of ${Object.keys(FLAGS).join(', ')}`,
    );
  }
  const bits = FLAGS[flags];
  const writes = bits !== O_RDONLY && bits !== (O_RDONLY | O_SYNC);
  const granted = grantedPath(path, writes);
  return { ...atPath(CallKind.openFile, path, granted), a1: bits, a2: checkMode(options?.mode ?? FILE_MODE) };
}

export function openDirectory(path: string, options?: CallOptions): Directory {
  return new Directory(callSync(openingDirectory(path), options), path);
}

export async function openDirectoryAsync(path: string, options?: AsyncCallOptions): Promise<Directory> {
  return new Directory(await callAsync(openingDirectory(path), options), path);
}

function openingDirectory(path: string): Transfer {
  return { ...atPath(CallKind.openFile, path, grantedPath(path, false)), a1: O_RDONLY | O_DIRECTORY };
}

/** All entries of a directory, in no order. */
export function readdir(path: string, options?: CallOptions): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  for (const entry of openDirectory(path, options)) addEntry(entries, entry, path);
  return entries;
}

export async function readdirAsync(path: string, options?: AsyncCallOptions): Promise<DirectoryEntry[]> {
  const entries: DirectoryEntry[] = [];
  const directory = await openDirectoryAsync(path, options);
  for await (const entry of directory.entries(options)) addEntry(entries, entry, path);
  return entries;
}

function addEntry(entries: DirectoryEntry[], entry: DirectoryEntry, path: string): void {
  if (entries.length >= DIRECTORY_ENTRIES_MAX) {
    throw new InvalidArgumentError(
      `${path} has more than ${DIRECTORY_ENTRIES_MAX} entries; iterate over openDirectory instead`,
    );
  }
  entries.push(entry);
}

/** A call on one path, which is its payload. */
function atPath(kind: number, path: string, { mount, bytes }: GrantedPath): Transfer {
  const { length } = bytes;
  return { kind, handle: 0, view: bytes, length, direction: Direction.out, a0: mount, a1: length, path };
}

/** A call on one path whose answer takes the place of the path: room for at least `room` bytes. */
function asking(kind: number, path: string, room: number): Transfer & { view: Uint8Array<ArrayBuffer> } {
  const { mount, bytes } = grantedPath(path, false);
  const view = new Uint8Array(Math.max(room, bytes.length));
  view.set(bytes);
  const { length } = view;
  return { kind, handle: 0, view, length, direction: Direction.both, a0: mount, a1: bytes.length, path };
}

/** The status of what a path leads to. */
export function stat(path: string, options?: CallOptions): Stats {
  const call = asking(CallKind.statPath, path, FILE_STATUS_BYTES);
  return statsIn(call.view, callSync({ ...call, a2: 1 }, options));
}

export async function statAsync(path: string, options?: AsyncCallOptions): Promise<Stats> {
  const call = asking(CallKind.statPath, path, FILE_STATUS_BYTES);
  return statsIn(call.view, await callAsync({ ...call, a2: 1 }, options));
}

/** The status of a path's own entry, be it a link. */
export function lstat(path: string, options?: CallOptions): Stats {
  const call = asking(CallKind.statPath, path, FILE_STATUS_BYTES);
  return statsIn(call.view, callSync(call, options));
}

export async function lstatAsync(path: string, options?: AsyncCallOptions): Promise<Stats> {
  const call = asking(CallKind.statPath, path, FILE_STATUS_BYTES);
  return statsIn(call.view, await callAsync(call, options));
}

/** The text of a link. Where it leads is the host's to say. */
export function readlink(path: string, options?: CallOptions): string {
  const call = asking(CallKind.readLink, path, PATH_BYTES_MAX + 1);
  return decoder.decode(call.view.subarray(0, callSync(call, options)));
}

export async function readlinkAsync(path: string, options?: AsyncCallOptions): Promise<string> {
  const call = asking(CallKind.readLink, path, PATH_BYTES_MAX + 1);
  return decoder.decode(call.view.subarray(0, await callAsync(call, options)));
}

function changing(kind: number, path: string, mode = 0): Transfer {
  return { ...atPath(kind, path, grantedPath(path, true)), a2: mode };
}

export function mkdir(path: string, options?: Mode & CallOptions): void {
  callSync(changing(CallKind.makeDirectory, path, checkMode(options?.mode ?? DIRECTORY_MODE)), options);
}

export async function mkdirAsync(path: string, options?: Mode & AsyncCallOptions): Promise<void> {
  const mode = checkMode(options?.mode ?? DIRECTORY_MODE);
  await callAsync(changing(CallKind.makeDirectory, path, mode), options);
}

export function rmdir(path: string, options?: CallOptions): void {
  callSync(changing(CallKind.removeDirectory, path), options);
}

export async function rmdirAsync(path: string, options?: AsyncCallOptions): Promise<void> {
  await callAsync(changing(CallKind.removeDirectory, path), options);
}

export function unlink(path: string, options?: CallOptions): void {
  callSync(changing(CallKind.unlink, path), options);
}

export async function unlinkAsync(path: string, options?: AsyncCallOptions): Promise<void> {
  await callAsync(changing(CallKind.unlink, path), options);
}

export function chmod(path: string, mode: number, options?: CallOptions): void {
  callSync(changing(CallKind.changeMode, path, checkMode(mode)), options);
}

export async function chmodAsync(path: string, mode: number, options?: AsyncCallOptions): Promise<void> {
  await callAsync(changing(CallKind.changeMode, path, checkMode(mode)), options);
}

export function setTimes(path: string, times: FileTimes, options?: CallOptions): void {
  callSync(timing(path, times), options);
}

export async function setTimesAsync(
  path: string,
  times: FileTimes,
  options?: AsyncCallOptions,
): Promise<void> {
  await callAsync(timing(path, times), options);
}

function timing(path: string, times: FileTimes): Transfer {
  const { mount, bytes } = grantedPath(path, true);
  return followed(CallKind.setTimes, path, mount, bytes, encodeTimes(times));
}

/** A call whose payload is `first`, whose length it says, and `second`. */
function followed(
  kind: number,
  path: string,
  mount: number,
  first: Uint8Array,
  second: Uint8Array,
): Transfer {
  const view = new Uint8Array(first.length + second.length);
  view.set(first);
  view.set(second, first.length);
  const { length } = view;
  return { kind, handle: 0, view, length, direction: Direction.out, a0: mount, a1: first.length, path };
}

/** Gives a file or directory another name below the same mount; what had that name is replaced. */
export function rename(from: string, to: string, options?: CallOptions): void {
  callSync(moving(CallKind.rename, 'rename', from, to), options);
}

export async function renameAsync(from: string, to: string, options?: AsyncCallOptions): Promise<void> {
  await callAsync(moving(CallKind.rename, 'rename', from, to), options);
}

/** Gives a file a second name below the same mount. */
export function link(from: string, to: string, options?: CallOptions): void {
  callSync(moving(CallKind.link, 'link', from, to), options);
}

export async function linkAsync(from: string, to: string, options?: AsyncCallOptions): Promise<void> {
  await callAsync(moving(CallKind.link, 'link', from, to), options);
}

function moving(kind: number, syscall: string, from: string, to: string): Transfer {
  const source = grantedPath(from, true);
  const target = grantedPath(to, true);
  if (source.mount !== target.mount)
    throw new SystemError('EXDEV', -EXDEV, syscall, `${from} -> ${to}`, from);
  return {
    ...followed(kind, from, source.mount, source.bytes, target.bytes),
    detail: `${from} -> ${to}`,
  };
}

/** Makes a link at `path` whose text is `target`, which may lead anywhere and to nothing. */
export function symlink(target: string, path: string, options?: CallOptions): void {
  callSync(linking(target, path), options);
}

export async function symlinkAsync(target: string, path: string, options?: AsyncCallOptions): Promise<void> {
  await callAsync(linking(target, path), options);
}

function linking(target: string, path: string): Transfer {
  const { mount, bytes } = grantedPath(path, true);
  const text = typeof target === 'string' && target.isWellFormed() ? encoder.encode(target) : undefined;
  if (text === undefined || text.length === 0 || text.length > PATH_BYTES_MAX || text.includes(0)) {
    throw new InvalidArgumentError(
      `the text of a link is 1 to ${PATH_BYTES_MAX} bytes without a zero byte, not ${JSON.stringify(target)}`,
    );
  }
  return followed(CallKind.symbolicLink, path, mount, text, bytes);
}
