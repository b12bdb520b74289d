import type { ProtectedMount } from '../../../src/enclave/protected/mount.ts';
import { SystemError } from '../../../src/errors.ts';
import { pattern } from './support.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** What a mount has to look like: paths with their content; a directory is null. */
export class Model {
  files: Map<string, Bytes | null>;

  constructor(files: Map<string, Bytes | null> = new Map([['', null]])) {
    this.files = files;
  }

  copy(): Model {
    return new Model(
      new Map([...this.files].map(([path, bytes]) => [path, bytes === null ? null : bytes.slice()])),
    );
  }

  snapshot(): Map<string, string> {
    const entries = [...this.files].filter(([path]) => path !== '');
    const named = entries.map(([path, bytes]): [string, string] =>
      bytes === null ? [`${path}/`, ''] : [path, Buffer.from(bytes).toString('latin1')],
    );
    return new Map(named.sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  write(path: string, position: number, bytes: Bytes): string {
    const problem = this.#create(path);
    if (problem !== '') return problem;
    if (bytes.length === 0) return '';
    const old = this.files.get(path)!;
    const grown = new Uint8Array(Math.max(old.length, position + bytes.length));
    grown.set(old);
    grown.set(bytes, position);
    this.files.set(path, grown);
    return '';
  }

  truncate(path: string, length: number): string {
    const problem = this.#create(path);
    if (problem !== '') return problem;
    const cut = new Uint8Array(length);
    cut.set(this.files.get(path)!.subarray(0, length));
    this.files.set(path, cut);
    return '';
  }

  mkdir(path: string): string {
    const problem = this.#parent(path);
    if (problem !== '') return problem;
    if (this.files.has(path)) return 'EEXIST';
    this.files.set(path, null);
    return '';
  }

  unlink(path: string): string {
    const problem = this.#parent(path);
    if (problem !== '') return problem;
    if (!this.files.has(path)) return 'ENOENT';
    if (this.files.get(path) === null) return 'EISDIR';
    this.files.delete(path);
    return '';
  }

  rmdir(path: string): string {
    const problem = this.#parent(path);
    if (problem !== '') return problem;
    if (!this.files.has(path)) return 'ENOENT';
    if (this.files.get(path) !== null) return 'ENOTDIR';
    if (this.#below(path).length > 0) return 'ENOTEMPTY';
    this.files.delete(path);
    return '';
  }

  rename(from: string, to: string): string {
    const problem = this.#parent(from) || this.#parent(to);
    if (problem !== '') return problem;
    const moved = this.files.get(from);
    if (moved === undefined) return 'ENOENT';
    if (from === to) return '';
    if (moved === null && to.startsWith(`${from}/`)) return 'EINVAL';
    const old = this.files.get(to);
    if (old === null && moved !== null) return 'EISDIR';
    if (old !== undefined && old !== null && moved === null) return 'ENOTDIR';
    if (old === null && this.#below(to).length > 0) return 'ENOTEMPTY';
    for (const path of [from, ...this.#below(from)]) {
      const bytes = this.files.get(path)!;
      this.files.delete(path);
      this.files.set(to + path.slice(from.length), bytes);
    }
    return '';
  }

  #below(path: string): string[] {
    return [...this.files.keys()].filter((other) => other.startsWith(`${path}/`));
  }

  #create(path: string): string {
    const problem = this.#parent(path);
    if (problem !== '') return problem;
    if (this.files.get(path) === null) return 'EISDIR';
    if (!this.files.has(path)) this.files.set(path, new Uint8Array(0));
    return '';
  }

  #parent(path: string): string {
    const names = path.split('/').slice(1, -1);
    let parent = '';
    for (const name of names) {
      parent += `/${name}`;
      if (!this.files.has(parent)) return 'ENOENT';
      if (this.files.get(parent) !== null) return 'ENOTDIR';
    }
    return '';
  }
}

/** One change of a mount, and the same of a model. */
export type Change =
  | {
      readonly kind: 'write';
      readonly path: string;
      readonly position: number;
      readonly seed: number;
      readonly length: number;
    }
  | { readonly kind: 'truncate'; readonly path: string; readonly length: number }
  | { readonly kind: 'mkdir' | 'unlink' | 'rmdir'; readonly path: string }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string };

/** Does a change and says with which code it failed; nothing when it did not. */
export function apply(mount: ProtectedMount, change: Change): string {
  try {
    applyTo(mount, change);
    return '';
  } catch (error) {
    return codeOf(error);
  }
}

export async function applyAsync(mount: ProtectedMount, change: Change): Promise<string> {
  try {
    await applyToAsync(mount, change);
    return '';
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  if (error instanceof SystemError) return error.code;
  throw error;
}

function applyTo(mount: ProtectedMount, change: Change): void {
  if (change.kind === 'rename') return mount.rename(change.path, change.to);
  if (change.kind !== 'write' && change.kind !== 'truncate') return mount[change.kind](change.path);
  using file = mount.open(change.path, 'a+');
  if (change.kind === 'truncate') return file.truncate(change.length);
  using writable = mount.open(change.path, 'r+');
  writable.write(pattern(change.seed, change.length), { position: change.position });
}

async function applyToAsync(mount: ProtectedMount, change: Change): Promise<void> {
  if (change.kind === 'rename') return await mount.renameAsync(change.path, change.to);
  if (change.kind !== 'write' && change.kind !== 'truncate') {
    return await mount[`${change.kind}Async`](change.path);
  }
  const file = await mount.openAsync(change.path, 'a+');
  if (change.kind === 'truncate') {
    await file.truncateAsync(change.length);
  } else {
    const writable = await mount.openAsync(change.path, 'r+');
    await writable.writeAsync(pattern(change.seed, change.length), { position: change.position });
    await writable.closeAsync();
  }
  await file.closeAsync();
}

export function applyToModel(model: Model, change: Change): string {
  if (change.kind === 'rename') return model.rename(change.path, change.to);
  if (change.kind === 'write')
    return model.write(change.path, change.position, pattern(change.seed, change.length));
  if (change.kind === 'truncate') return model.truncate(change.path, change.length);
  return model[change.kind](change.path);
}
