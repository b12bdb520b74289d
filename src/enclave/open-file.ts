import { constants } from 'node:fs';
import { CallKind } from '../boundary/kinds.ts';
import { InvalidArgumentError } from '../errors.ts';
import { checkMode, File } from './file.ts';
import { type GrantedPath, grantedPath } from './mounted-path.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  type Transfer,
} from './transfer.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_SYNC } = constants;

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

/** Opens a file of the host's, also below a protected mount: what is there is sealed. */
export function openHostFile(path: string, flags: OpenFlags, options?: Mode & CallOptions): File {
  return new File(callSync(opening(path, flags, options), options), path);
}

export async function openHostFileAsync(
  path: string,
  flags: OpenFlags,
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
  const granted = grantedPath(path, isWriting(flags));
  return { ...atPath(CallKind.openFile, path, granted), a1: bits, a2: checkMode(options?.mode ?? FILE_MODE) };
}

export function isWriting(flags: OpenFlags): boolean {
  return flags !== 'r' && flags !== 'rs';
}

/** A call on one path, which is its payload. */
export function atPath(kind: number, path: string, { mount, bytes }: GrantedPath): Transfer {
  const { length } = bytes;
  return { kind, handle: 0, view: bytes, length, direction: Direction.out, a0: mount, a1: length, path };
}
