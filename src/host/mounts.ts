import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { FileGrant } from '../boundary/grants.ts';
import { InvalidArgumentError } from '../errors.ts';
import { closeDescriptor } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import { openRoot } from '../linux/paths.ts';

/** A directory of the host that an image was granted. */
export interface Mount {
  readonly descriptor: number;
  readonly writable: boolean;
}

/**
 * The directory that stands for each granted mount, in the order of the grants. Paths are made absolute: a
 * worker's working directory is not the user's.
 */
export function directoriesOf(
  grants: readonly FileGrant[],
  directories: Readonly<Record<string, string>>,
): string[] {
  for (const mount of Object.keys(directories)) {
    if (!grants.some((grant) => grant.mount === mount)) {
      throw new InvalidArgumentError(
        `directories names ${JSON.stringify(mount)}, which is no mount of the image: it has ${grants.map(({ mount }) => mount).join(', ') || 'none'}`,
      );
    }
  }
  return grants.map(({ mount }) => directoryOf(mount, directories));
}

function directoryOf(mount: string, directories: Readonly<Record<string, string>>): string {
  const directory = Object.hasOwn(directories, mount) ? directories[mount] : undefined;
  if (typeof directory !== 'string') {
    throw new InvalidArgumentError(
      `the image is granted files at ${mount}; say which directory that is with directories: { '${mount}': '/…' }`,
    );
  }
  const path = resolve(directory);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new InvalidArgumentError(`there is no directory ${path} for the mount ${mount}; make it first`);
  }
  return path;
}

export function openMounts(grants: readonly FileGrant[], directories: readonly string[]): Mount[] {
  return grants.map(({ access }, index) => {
    const path = directories[index] as string;
    return { descriptor: check(openRoot(path), 'open', path), writable: access === 'read-write' };
  });
}

export function closeMounts(mounts: readonly Mount[]): void {
  for (const { descriptor } of mounts) closeDescriptor(descriptor);
}
