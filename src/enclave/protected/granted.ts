import { type FileGrant, mountOf } from '../../boundary/grants.ts';
import { type FileStaleError, InvalidArgumentError, SystemError } from '../../errors.ts';
import { PROTECTED_CACHE_BYTES_DEFAULT } from '../../limits.ts';
import type { File } from '../file.ts';
import { grantedPath } from '../mounted-path.ts';
import { openHostFile } from '../open-file.ts';
import { sharedRegion } from '../private-memory.ts';
import { runtime } from '../runtime.ts';
import { STORE_NAME } from './format.ts';
import { Frames } from './frames.ts';
import type { MonotonicCounter, StalePolicy } from './freshness.ts';
import { HostStore } from './host-store.ts';
import { deriveMountKey } from './keys.ts';
import { ProtectedMount } from './mount.ts';
import { fileSecret } from './secret.ts';
import { createSlotMemory } from './slots.ts';

/** What a program may tell of a protected mount before its first use; otherwise the manifest and the host decide. */
export interface ProtectionOptions {
  /** 32 bytes; derived from the host's secret unless told. */
  readonly key?: Uint8Array<ArrayBuffer>;
  /** Keeps an older state from being brought back at a restart; nothing does unless told. */
  readonly counter?: MonotonicCounter;
  readonly stale?: StalePolicy;
  readonly onStale?: (error: FileStaleError) => void;
}

/** A place in a protected mount. */
export interface ProtectedPlace {
  readonly mount: ProtectedMount;
  /** Below the mount. */
  readonly path: string;
}

/** The mounts that this thread has opened. */
const opened = new Map<string, ProtectedMount>();

/** For each grant of files, memory for the slots in use of a protected mount: made before there are threads. */
export type SlotMemories = readonly (SharedArrayBuffer | undefined)[];

let slotMemories: SlotMemories = [];

export function createSlotMemories(
  grants: readonly { readonly protected?: boolean | undefined }[],
): SlotMemories {
  return grants.map((grant) => (grant.protected === true ? createSlotMemory() : undefined));
}

/** Once on each thread, before the program is loaded. */
export function setSlotMemories(memories: SlotMemories): void {
  slotMemories = memories;
}

/** The place of a path below a protected mount; undefined when its mount is not protected. */
export function protectedPlace(path: string, writes: boolean): ProtectedPlace | undefined {
  const { files } = runtime().grants;
  if (!files.some((grant) => grant.protected === true)) return undefined;
  grantedPath(path, writes);
  const { grant, relative } = mountOf(files, path)!;
  if (grant.protected !== true) return undefined;
  return { mount: opened.get(grant.mount) ?? openGranted(grant, {}), path: relative };
}

/** Opens a protected mount of the image before its first use, as the program wants it. */
export function openProtectedMount(mount: string, options: ProtectionOptions): ProtectedMount {
  const grant = runtime().grants.files.find((one) => one.mount === mount);
  if (grant?.protected !== true) {
    throw new InvalidArgumentError(
      `${JSON.stringify(mount)} is no protected mount of the image: add { mount: '/…', access: 'read-write', protected: true } to grants.files of its manifest`,
    );
  }
  if (opened.has(mount))
    throw new InvalidArgumentError(`${mount} is open already; say so before its first use`);
  return openGranted(grant, options);
}

/** Opens a mount, or joins the thread that has opened it. */
function openGranted(grant: FileGrant, options: ProtectionOptions): ProtectedMount {
  const { mount: path, access, cacheBytes = PROTECTED_CACHE_BYTES_DEFAULT, durability } = grant;
  const index = runtime().grants.files.indexOf(grant);
  const frames = new Frames(sharedRegion(`sgxio-mount-${index}`, cacheBytes));
  const mount = frames.lock.run(() => {
    const joins = frames.isOpen;
    const key = options.key ?? (joins ? undefined : keyOf(path));
    const file = openStore(path, access === 'read-write' ? 'r+' : 'r', joins);
    try {
      const store = new HostStore(file);
      const shared = { ...options, path, frames, durability, slots: slotMemories[index] };
      return key === undefined || joins
        ? ProtectedMount.join(store, { ...shared, ...(key === undefined ? {} : { key }) })
        : ProtectedMount.open(store, { ...shared, key });
    } catch (error) {
      file.close();
      throw error;
    }
  });
  opened.set(path, mount);
  return mount;
}

/**
 * One enclave at a time has a store open for writing: two would not see what the other does. The thread that opened it
 * has it locked for all of them.
 */
function openStore(path: string, flags: 'r' | 'r+', joins: boolean): File {
  let file: File;
  try {
    file = openHostFile(`${path}/${STORE_NAME}`, flags);
  } catch (error) {
    if (!(error instanceof SystemError && error.code === 'ENOENT')) throw error;
    throw new InvalidArgumentError(
      `there is no protected mount at ${path}: create one with 'sgxio files init' in the host's directory`,
      { cause: error },
    );
  }
  if (joins || file.tryLock({ shared: flags === 'r' })) return file;
  file.close();
  throw new InvalidArgumentError(`${path} is open already, in another enclave or a command; stop that first`);
}

function keyOf(path: string): Uint8Array<ArrayBuffer> {
  const secret = fileSecret();
  if (secret !== undefined) return deriveMountKey(secret, path);
  throw new InvalidArgumentError(
    `there is no key for ${path}: start the enclave with a fileSecret, or give one to protect`,
  );
}
