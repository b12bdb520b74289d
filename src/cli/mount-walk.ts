import type { ProtectedMount } from '../enclave/protected/mount.ts';
import { FileTamperedError } from '../errors.ts';

const PIECE_BYTES = 1_048_576;
const BLOCK_BYTES = 4096;

export interface WalkedFile {
  readonly path: string;
  readonly type: 'file' | 'directory';
}

/** What is wrong in a mount: where, and what. */
export interface Damage {
  readonly path: string;
  readonly message: string;
}

/** Every file and directory of a mount, directories before what is in them. What cannot be listed goes to `report`. */
export function walkMount(mount: ProtectedMount, report: (error: FileTamperedError) => void): WalkedFile[] {
  const files: WalkedFile[] = [];
  const list = (directory: string): void => {
    for (const { name, type } of attempt(() => mount.readdir(directory), report) ?? []) {
      const path = `${directory}/${name}`;
      files.push({ path, type });
      if (type === 'directory') list(path);
    }
  };
  list('');
  return files;
}

/** Reads all of a mount and says what is wrong with it, each thing once. */
export function verifyMount(
  mount: ProtectedMount,
  tell: (path: string, done: number, total: number) => void,
): Damage[] {
  const damage = new Map<string, Damage>();
  const report = (error: FileTamperedError): void => {
    damage.set(error.message, { path: error.path, message: error.message });
  };
  const files = walkMount(mount, report);
  for (const [index, { path, type }] of files.entries()) {
    tell(path, index, files.length);
    if (type === 'file') attempt(() => verifyFile(mount, path, report), report);
  }
  return [...damage.values()];
}

/** Reads a file piece by piece; a piece with damage is read block by block, to name each. */
function verifyFile(mount: ProtectedMount, path: string, report: (error: FileTamperedError) => void): void {
  using file = mount.open(path);
  const { size } = file.stat();
  const piece = new Uint8Array(PIECE_BYTES);
  const block = new Uint8Array(BLOCK_BYTES);
  for (let position = 0; position < size; position += PIECE_BYTES) {
    const whole = attempt(
      () => file.read(piece, { position }),
      () => {},
    );
    const end = Math.min(size, position + PIECE_BYTES);
    for (let at = position; whole === undefined && at < end; at += BLOCK_BYTES) {
      attempt(() => file.read(block, { position: at }), report);
    }
  }
}

/** Copies everything from one mount into an empty one. */
export function copyMount(
  from: ProtectedMount,
  to: ProtectedMount,
  tell: (path: string, done: number, total: number) => void,
): void {
  const files = walkMount(from, (error) => {
    throw error;
  });
  for (const [index, { path, type }] of files.entries()) {
    tell(path, index, files.length);
    if (type === 'directory') to.mkdir(path);
    else copyFile(from, to, path);
  }
  // Last, because names that come into a directory touch its times.
  for (const { path } of files) {
    const { mode, atimeMs, mtimeMs } = from.stat(path);
    to.chmod(path, mode & 0o7777);
    to.setTimes(path, { accessed: atimeMs, modified: mtimeMs });
  }
}

function copyFile(from: ProtectedMount, to: ProtectedMount, path: string): void {
  using source = from.open(path);
  using target = to.open(path, 'wx');
  const piece = new Uint8Array(PIECE_BYTES);
  for (let count = source.read(piece); count > 0; count = source.read(piece)) {
    target.write(piece.subarray(0, count));
  }
}

/** What `run` returns; undefined when it met damage, which goes to `report`. */
function attempt<Result>(run: () => Result, report: (error: FileTamperedError) => void): Result | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof FileTamperedError)) throw error;
    report(error);
    return undefined;
  }
}
