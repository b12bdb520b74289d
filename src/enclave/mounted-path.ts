import { mountOf } from '../boundary/grants.ts';
import { InvalidArgumentError, NotGrantedError } from '../errors.ts';
import { runtime } from './runtime.ts';

/** Where a path lies: the index of its mount among the grants, and its bytes below that mount. */
export interface GrantedPath {
  readonly mount: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const encoder = new TextEncoder();

/** Finds the mount of a path, asked for what the image was granted: nothing else leaves the enclave. */
export function grantedPath(path: string, writes: boolean): GrantedPath {
  if (typeof path !== 'string' || !path.isWellFormed()) {
    throw new InvalidArgumentError('a path is well-formed text');
  }
  const { files } = runtime().grants;
  const found = mountOf(files, path);
  if (found === undefined) {
    throw new NotGrantedError(
      `${JSON.stringify(path)} lies below no mount of the image: add { mount: '/…', access: '${writes ? 'read-write' : 'read'}' } to grants.files of its manifest`,
    );
  }
  const { grant, relative } = found;
  if (writes && grant.access !== 'read-write') {
    throw new NotGrantedError(
      `${JSON.stringify(path)} is granted for reading: set access: 'read-write' for ${grant.mount} in grants.files of the manifest`,
    );
  }
  return { mount: files.indexOf(grant), bytes: encoder.encode(relative === '' ? '.' : relative) };
}
