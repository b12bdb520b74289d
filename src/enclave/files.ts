import { constants } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { CallKind } from '../boundary/kinds.ts';
import { InvalidArgumentError, SystemError } from '../errors.ts';
import { DIRECTORY_ENTRIES_MAX, PATH_BYTES_MAX } from '../limits.ts';
import type { DirectoryEntry } from '../linux/directory-entries.ts';
import { FILE_STATUS_BYTES } from '../linux/file-status.ts';
import { Directory } from './directory.ts';
import { checkMode, encodeTimes, type FileTimes, type File as PlainFile } from './file.ts';
import { grantedPath } from './mounted-path.ts';
import {
  atPath,
  isWriting,
  type Mode,
  type OpenFlags,
  openHostFile,
  openHostFileAsync,
} from './open-file.ts';
import {
  openProtectedMount,
  type ProtectedPlace,
  type ProtectionOptions,
  protectedPlace,
} from './protected/granted.ts';
import type { OpenOptions, ProtectedDirectory, ProtectedFile, ProtectedMount } from './protected/mount.ts';
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
export type { AtPosition, FileTimes, LockOptions } from './file.ts';
export type { Mode, OpenFlags } from './open-file.ts';
export { FileCounter } from './protected/file-counter.ts';
export type { CounterValue, MonotonicCounter, StalePolicy } from './protected/freshness.ts';
export type { ProtectionOptions } from './protected/granted.ts';
export type { Mapping } from './protected/mapping.ts';
export { ProtectedDirectory, ProtectedFile, ProtectedMount } from './protected/mount.ts';
export type { Stats } from './stats.ts';

/** An open file: of the host's, or of a protected mount, which the manifest decides. */
export type File = PlainFile | ProtectedFile;

const DIRECTORY_MODE = 0o777;
const { EXDEV } = osConstants.errno;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Opens a file; `flags` are those of `node:fs`, `r` unless told. */
export function open(path: string, flags: OpenFlags = 'r', options?: OpenOptions & CallOptions): File {
  const place = placeOf(path, isWriting(flags));
  if (place !== undefined) return place.mount.open(place.path, flags, options);
  return openHostFile(path, flags, options);
}

export async function openAsync(
  path: string,
  flags: OpenFlags = 'r',
  options?: OpenOptions & AsyncCallOptions,
): Promise<File> {
  const place = placeOf(path, isWriting(flags));
  if (place !== undefined) return await place.mount.openAsync(place.path, flags, options);
  return await openHostFileAsync(path, flags, options);
}

/** Where a path lies when its mount is a protected one. */
function placeOf(path: string, writes: boolean): ProtectedPlace | undefined {
  return protectedPlace(path, writes);
}

/**
 * Opens a protected mount of the image with a key, a counter or a policy of the program's own, before its first use.
 * Without this, the first use opens it with the secret that the host started the enclave with.
 */
export function protect(mount: string, options: ProtectionOptions = {}): ProtectedMount {
  return openProtectedMount(mount, options);
}

export function openDirectory(path: string, options?: CallOptions): Directory | ProtectedDirectory {
  const place = placeOf(path, false);
  if (place !== undefined) return place.mount.openDirectory(place.path);
  return new Directory(callSync(openingDirectory(path), options), path);
}

export async function openDirectoryAsync(
  path: string,
  options?: AsyncCallOptions,
): Promise<Directory | ProtectedDirectory> {
  const place = placeOf(path, false);
  if (place !== undefined) return await place.mount.openDirectoryAsync(place.path, options);
  return new Directory(await callAsync(openingDirectory(path), options), path);
}

function openingDirectory(path: string): Transfer {
  return {
    ...atPath(CallKind.openFile, path, grantedPath(path, false)),
    a1: constants.O_RDONLY | constants.O_DIRECTORY,
  };
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
  const place = placeOf(path, false);
  if (place !== undefined) return place.mount.stat(place.path, options);
  const call = asking(CallKind.statPath, path, FILE_STATUS_BYTES);
  return statsIn(call.view, callSync({ ...call, a2: 1 }, options));
}

export async function statAsync(path: string, options?: AsyncCallOptions): Promise<Stats> {
  const place = placeOf(path, false);
  if (place !== undefined) return await place.mount.statAsync(place.path, options);
  const call = asking(CallKind.statPath, path, FILE_STATUS_BYTES);
  return statsIn(call.view, await callAsync({ ...call, a2: 1 }, options));
}

/** The status of a path's own entry, be it a link. */
export function lstat(path: string, options?: CallOptions): Stats {
  const place = placeOf(path, false);
  if (place !== undefined) return place.mount.lstat(place.path, options);
  const call = asking(CallKind.statPath, path, FILE_STATUS_BYTES);
  return statsIn(call.view, callSync(call, options));
}

export async function lstatAsync(path: string, options?: AsyncCallOptions): Promise<Stats> {
  const place = placeOf(path, false);
  if (place !== undefined) return await place.mount.lstatAsync(place.path, options);
  const call = asking(CallKind.statPath, path, FILE_STATUS_BYTES);
  return statsIn(call.view, await callAsync(call, options));
}

/** The text of a link. Where it leads is the host's to say. */
export function readlink(path: string, options?: CallOptions): string {
  const place = placeOf(path, false);
  if (place !== undefined) return place.mount.readlink(place.path);
  const call = asking(CallKind.readLink, path, PATH_BYTES_MAX + 1);
  return decoder.decode(call.view.subarray(0, callSync(call, options)));
}

export async function readlinkAsync(path: string, options?: AsyncCallOptions): Promise<string> {
  const place = placeOf(path, false);
  if (place !== undefined) return await place.mount.readlinkAsync(place.path);
  const call = asking(CallKind.readLink, path, PATH_BYTES_MAX + 1);
  return decoder.decode(call.view.subarray(0, await callAsync(call, options)));
}

function changing(kind: number, path: string, mode = 0): Transfer {
  return { ...atPath(kind, path, grantedPath(path, true)), a2: mode };
}

export function mkdir(path: string, options?: Mode & CallOptions): void {
  const place = placeOf(path, true);
  if (place !== undefined) return place.mount.mkdir(place.path, options);
  callSync(changing(CallKind.makeDirectory, path, checkMode(options?.mode ?? DIRECTORY_MODE)), options);
}

export async function mkdirAsync(path: string, options?: Mode & AsyncCallOptions): Promise<void> {
  const place = placeOf(path, true);
  if (place !== undefined) return await place.mount.mkdirAsync(place.path, options);
  const mode = checkMode(options?.mode ?? DIRECTORY_MODE);
  await callAsync(changing(CallKind.makeDirectory, path, mode), options);
}

export function rmdir(path: string, options?: CallOptions): void {
  const place = placeOf(path, true);
  if (place !== undefined) return place.mount.rmdir(place.path, options);
  callSync(changing(CallKind.removeDirectory, path), options);
}

export async function rmdirAsync(path: string, options?: AsyncCallOptions): Promise<void> {
  const place = placeOf(path, true);
  if (place !== undefined) return await place.mount.rmdirAsync(place.path, options);
  await callAsync(changing(CallKind.removeDirectory, path), options);
}

export function unlink(path: string, options?: CallOptions): void {
  const place = placeOf(path, true);
  if (place !== undefined) return place.mount.unlink(place.path, options);
  callSync(changing(CallKind.unlink, path), options);
}

export async function unlinkAsync(path: string, options?: AsyncCallOptions): Promise<void> {
  const place = placeOf(path, true);
  if (place !== undefined) return await place.mount.unlinkAsync(place.path, options);
  await callAsync(changing(CallKind.unlink, path), options);
}

export function chmod(path: string, mode: number, options?: CallOptions): void {
  const place = placeOf(path, true);
  if (place !== undefined) return place.mount.chmod(place.path, mode, options);
  callSync(changing(CallKind.changeMode, path, checkMode(mode)), options);
}

export async function chmodAsync(path: string, mode: number, options?: AsyncCallOptions): Promise<void> {
  const place = placeOf(path, true);
  if (place !== undefined) return await place.mount.chmodAsync(place.path, mode, options);
  await callAsync(changing(CallKind.changeMode, path, checkMode(mode)), options);
}

export function setTimes(path: string, times: FileTimes, options?: CallOptions): void {
  const place = placeOf(path, true);
  if (place !== undefined) return place.mount.setTimes(place.path, times, options);
  callSync(timing(path, times), options);
}

export async function setTimesAsync(
  path: string,
  times: FileTimes,
  options?: AsyncCallOptions,
): Promise<void> {
  const place = placeOf(path, true);
  if (place !== undefined) return await place.mount.setTimesAsync(place.path, times, options);
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

/** Two places below one protected mount. */
function placesOf(from: string, to: string): { mount: ProtectedMount; from: string; to: string } | undefined {
  const source = placeOf(from, true);
  if (source === undefined) return undefined;
  const target = placeOf(to, true);
  return target?.mount === source.mount
    ? { mount: source.mount, from: source.path, to: target.path }
    : undefined;
}

/** Gives a file or directory another name below the same mount; what had that name is replaced. */
export function rename(from: string, to: string, options?: CallOptions): void {
  const places = placesOf(from, to);
  if (places !== undefined) return places.mount.rename(places.from, places.to, options);
  callSync(moving(CallKind.rename, 'rename', from, to), options);
}

export async function renameAsync(from: string, to: string, options?: AsyncCallOptions): Promise<void> {
  const places = placesOf(from, to);
  if (places !== undefined) return await places.mount.renameAsync(places.from, places.to, options);
  await callAsync(moving(CallKind.rename, 'rename', from, to), options);
}

/** Gives a file a second name below the same mount. */
export function link(from: string, to: string, options?: CallOptions): void {
  const places = placesOf(from, to);
  if (places !== undefined) return places.mount.link(places.from, places.to, options);
  callSync(moving(CallKind.link, 'link', from, to), options);
}

export async function linkAsync(from: string, to: string, options?: AsyncCallOptions): Promise<void> {
  const places = placesOf(from, to);
  if (places !== undefined) return await places.mount.linkAsync(places.from, places.to, options);
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
  const place = placeOf(path, true);
  if (place !== undefined) return place.mount.symlink(target, place.path);
  callSync(linking(target, path), options);
}

export async function symlinkAsync(target: string, path: string, options?: AsyncCallOptions): Promise<void> {
  const place = placeOf(path, true);
  if (place !== undefined) return await place.mount.symlinkAsync(target, place.path);
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
