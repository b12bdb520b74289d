import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { STORE_NAME } from '../enclave/protected/format.ts';
import { cacheBytes, Frames } from '../enclave/protected/frames.ts';
import { deriveMountKey } from '../enclave/protected/keys.ts';
import { type MountOptions, ProtectedMount } from '../enclave/protected/mount.ts';
import { InvalidArgumentError } from '../errors.ts';
import { FILE_SECRET_BYTES } from '../limits.ts';
import { addressOf } from '../linux/ffi.ts';
import { NodeBlockFile } from './node-block-file.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** 32 MiB. */
const CACHE_BLOCKS = 8192;
const NEW_SUFFIX = '.new';

/** Makes an empty protected mount in a directory of the host's. */
export function initMount(directory: string, key: Bytes): void {
  const path = storeIn(directory);
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new InvalidArgumentError(`there is no directory ${directory}; make it first`);
  }
  if (existsSync(path)) {
    throw new InvalidArgumentError(`${directory} has a protected mount already; take another directory`);
  }
  ProtectedMount.create(new NodeBlockFile(path, 'wx+'), optionsFor(directory, key)).close();
  syncDirectory(directory);
}

/** Opens the protected mount of a directory, which nobody else may have open. */
export function openMount(directory: string, key: Bytes, access: 'read' | 'read-write'): ProtectedMount {
  const path = storeIn(directory);
  if (!existsSync(path)) {
    throw new InvalidArgumentError(
      `there is no protected mount in ${directory}; 'sgxio files init' creates one`,
    );
  }
  const file = new NodeBlockFile(path, access === 'read' ? 'r' : 'r+');
  try {
    if (!file.tryLock(access === 'read')) {
      throw new InvalidArgumentError(
        `${directory} is in use by an enclave or another command; stop that first`,
      );
    }
    return ProtectedMount.open(file, optionsFor(directory, key));
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Starts a mount that takes the place of the one in a directory; `replace` ends it. */
export function startReplacement(directory: string, key: Bytes): ProtectedMount {
  const path = storeIn(directory) + NEW_SUFFIX;
  rmSync(path, { force: true });
  return ProtectedMount.create(new NodeBlockFile(path, 'wx+'), optionsFor(directory, key));
}

/** Puts the finished replacement in its place: before, the old mount is there, and then the new one. */
export function replace(directory: string): void {
  renameSync(storeIn(directory) + NEW_SUFFIX, storeIn(directory));
  syncDirectory(directory);
}

/** The key of a mount: 32 bytes, or 64 hexadecimal digits; with `mount`, derived from them for that path. */
export function readKey(keyFile: string, mount: string | undefined): Bytes {
  const content = readKeyFile(keyFile);
  const text = content.toString('latin1').trim();
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : content;
  if (key.length !== FILE_SECRET_BYTES) {
    throw new InvalidArgumentError(
      `${keyFile} has no key: it holds ${FILE_SECRET_BYTES} bytes or 64 hexadecimal digits`,
    );
  }
  const secret = Uint8Array.from(key);
  return mount === undefined ? secret : deriveMountKey(secret, mount);
}

function readKeyFile(keyFile: string): Buffer {
  try {
    return readFileSync(keyFile);
  } catch (cause) {
    throw new InvalidArgumentError(`the key file cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** Draws a key into a new file that only its owner may read. */
export function createKeyFile(keyFile: string): void {
  const key = randomFillSync(Buffer.alloc(FILE_SECRET_BYTES));
  try {
    writeFileSync(keyFile, `${key.toString('hex')}\n`, { flag: 'wx', mode: 0o600 });
  } catch (cause) {
    throw new InvalidArgumentError(`the key file cannot be made: ${(cause as Error).message}`, { cause });
  }
}

function storeIn(directory: string): string {
  return join(directory, STORE_NAME);
}

function optionsFor(directory: string, key: Bytes): MountOptions {
  const bytes = new Uint8Array(cacheBytes(CACHE_BLOCKS));
  return { key, path: directory, frames: new Frames({ address: addressOf(bytes), bytes }) };
}

/** Makes names in a directory durable. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
