import { SgxioError, SystemError } from '../../errors.ts';
import type { Bucket } from './directory.ts';
import type { FileTimes } from './file.ts';
import { FileKind, ORPHANS, ROOT_DIRECTORY } from './format.ts';
import type { ProtectedEntry } from './listing.ts';
import { failure, namesOf } from './path.ts';
import { ProtectedStats } from './status.ts';
import type { Tree } from './tree.ts';
import type { Volume } from './volume.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** The place of a last name: its directory, held by {@link Volume.use}. */
interface Place {
  readonly directory: Tree;
  readonly name: Bytes;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * What a mount does with names. Every operation first brings all that it needs into frames that it holds, and then
 * changes them: it is done whole or not at all, whatever the host does meanwhile.
 */
export class Names {
  readonly #volume: Volume;
  readonly #now: () => number;

  constructor(volume: Volume, now: () => number) {
    this.#volume = volume;
    this.#now = now;
  }

  /** The file of a path, to be left by the caller. */
  resolve(path: string, syscall: string): Tree {
    const names = namesOf(path, syscall);
    const last = names.pop();
    if (last === undefined) return this.#volume.use(ROOT_DIRECTORY, this.#fullPath(path));
    const directory = this.#walk(names, path, syscall);
    try {
      const found = this.#volume.directories.find(directory, last);
      if (found === undefined) throw failure('ENOENT', syscall, this.#fullPath(path));
      return this.#use(found.number, path);
    } finally {
      this.#volume.leave(directory);
    }
  }

  /** Opens or creates a file; the caller leaves it. */
  openFile(path: string, how: { create: boolean; exclusive: boolean; mode: number }): Tree {
    const { directory, name } = this.#placeOf(path, 'open');
    let bucket: Bucket | undefined;
    try {
      const { directories } = this.#volume;
      bucket = how.create ? directories.openForAdding(directory, name) : directories.open(directory, name);
      const found = directories.look(bucket);
      if (found !== undefined && how.exclusive) throw failure('EEXIST', 'open', this.#fullPath(path));
      if (found !== undefined) return this.#use(found.number, path);
      if (!how.create) throw failure('ENOENT', 'open', this.#fullPath(path));
      return this.#create(bucket, path, FileKind.file, how.mode);
    } finally {
      if (bucket !== undefined) this.#volume.directories.close(bucket);
      this.#volume.leave(directory);
    }
  }

  makeDirectory(path: string, mode: number): void {
    if (namesOf(path, 'mkdir').length === 0) throw failure('EEXIST', 'mkdir', this.#fullPath(path));
    const { directory, name } = this.#placeOf(path, 'mkdir');
    let bucket: Bucket | undefined;
    try {
      bucket = this.#volume.directories.openForAdding(directory, name);
      if (this.#volume.directories.look(bucket) !== undefined)
        throw failure('EEXIST', 'mkdir', this.#fullPath(path));
      this.#volume.leave(this.#create(bucket, path, FileKind.directory, mode));
    } finally {
      if (bucket !== undefined) this.#volume.directories.close(bucket);
      this.#volume.leave(directory);
    }
  }

  /** Removes the name of a file; the file goes when nobody has it open. */
  unlink(path: string): void {
    this.#remove(path, 'unlink', (file) => {
      if (file.kind === FileKind.directory) throw failure('EISDIR', 'unlink', this.#fullPath(path));
    });
  }

  removeDirectory(path: string): void {
    this.#remove(path, 'rmdir', (file) => {
      if (file.kind !== FileKind.directory) throw failure('ENOTDIR', 'rmdir', this.#fullPath(path));
      if (file.children > 0) throw failure('ENOTEMPTY', 'rmdir', this.#fullPath(path));
    });
  }

  rename(from: string, to: string): void {
    const detail = `${this.#fullPath(from)} -> ${this.#fullPath(to)}`;
    const source = this.#placeOf(from, 'rename');
    let target: Place | undefined;
    const held: Tree[] = [source.directory];
    try {
      target = this.#placeOf(to, 'rename');
      held.push(target.directory);
      this.#move(source, target, held, detail, to);
    } finally {
      for (const tree of held) this.#volume.leave(tree);
    }
  }

  status(path: string, syscall: string): ProtectedStats {
    const tree = this.resolve(path, syscall);
    const status = new ProtectedStats(tree);
    this.#volume.leave(tree);
    return status;
  }

  changeMode(path: string, mode: number): void {
    const tree = this.resolve(path, 'chmod');
    tree.mode = mode;
    tree.setTime('changed', this.#now());
    this.#volume.leave(tree);
  }

  setTimes(path: string, times: FileTimes): void {
    const tree = this.resolve(path, 'utimes');
    setTimes(tree, times, this.#now());
    this.#volume.leave(tree);
  }

  list(path: string): ProtectedEntry[] {
    const tree = this.resolve(path, 'scandir');
    try {
      if (tree.kind !== FileKind.directory) throw failure('ENOTDIR', 'scandir', this.#fullPath(path));
      return this.#volume.directories.list(tree).map(({ name, kind }) => ({
        name: decoder.decode(name),
        type: kind === FileKind.directory ? 'directory' : 'file',
      }));
    } finally {
      this.#volume.leave(tree);
    }
  }

  /**
   * Gives back a file without a name that nobody else has open. Where the host lets it not, its blocks are given back
   * at the next start.
   */
  destroyIfPossible(tree: Tree): void {
    try {
      this.#volume.blocks.inPlace(() => this.#destroyOrphan(tree));
    } catch (error) {
      if (!(error instanceof SgxioError || error instanceof SystemError)) throw error;
    }
  }

  #destroyOrphan(tree: Tree): void {
    const orphans = this.#volume.use(ORPHANS, this.#volume.path);
    const bucket = this.#volume.directories.open(orphans, orphanName(tree.number));
    try {
      this.#volume.destroyFile(tree);
      this.#volume.directories.remove(bucket);
    } finally {
      this.#volume.directories.close(bucket);
      this.#volume.leave(orphans);
    }
  }

  /** Gives back what a crash left without a name. What the host has damaged stays. */
  destroyOrphans(): void {
    const orphans = this.#volume.use(ORPHANS, this.#volume.path);
    const files = orphans.children === 0 ? [] : this.#volume.directories.list(orphans);
    this.#volume.leave(orphans);
    for (const { number } of files) {
      const tree = this.#volume.use(number, this.#volume.path);
      if (tree.users === 1) this.destroyIfPossible(tree);
      this.#volume.leave(tree);
    }
  }

  #walk(names: readonly Bytes[], path: string, syscall: string): Tree {
    let directory = this.#volume.use(ROOT_DIRECTORY, this.#volume.path);
    for (const name of names) {
      try {
        const found = this.#volume.directories.find(directory, name);
        if (found === undefined) throw failure('ENOENT', syscall, this.#fullPath(path));
        if (found.kind !== FileKind.directory) throw failure('ENOTDIR', syscall, this.#fullPath(path));
        const next = this.#volume.use(found.number, this.#fullPath(path));
        this.#volume.leave(directory);
        directory = next;
      } catch (error) {
        this.#volume.leave(directory);
        throw error;
      }
    }
    return directory;
  }

  #placeOf(path: string, syscall: string): Place {
    const names = namesOf(path, syscall);
    const name = names.pop();
    if (name === undefined)
      throw failure(syscall === 'open' ? 'EISDIR' : 'EBUSY', syscall, this.#fullPath(path));
    return { directory: this.#walk(names, path, syscall), name };
  }

  #use(number: number, path: string): Tree {
    const tree = this.#volume.use(number, this.#fullPath(path));
    tree.path = this.#fullPath(path);
    return tree;
  }

  #create(bucket: Bucket, path: string, kind: number, mode: number): Tree {
    const now = this.#now();
    const { number } = bucket.directory;
    const tree = this.#volume.createFile(kind, mode, number, this.#fullPath(path), now);
    this.#volume.directories.put(bucket, { number: tree.number, kind });
    touched(bucket.directory, now);
    return tree;
  }

  #remove(path: string, syscall: string, check: (file: Tree) => void): void {
    const { directory, name } = this.#placeOf(path, syscall);
    const { directories } = this.#volume;
    let bucket: Bucket | undefined;
    let tree: Tree | undefined;
    try {
      bucket = directories.open(directory, name);
      const found = directories.look(bucket);
      if (found === undefined) throw failure('ENOENT', syscall, this.#fullPath(path));
      tree = this.#use(found.number, path);
      check(tree);
      this.#unname(tree, () => directories.remove(bucket!));
      touched(directory, this.#now());
    } finally {
      if (tree !== undefined) this.#volume.leave(tree);
      if (bucket !== undefined) directories.close(bucket);
      this.#volume.leave(directory);
    }
  }

  /** Takes a file's last name away by `change`, which cannot fail, and gives the file back if nobody has it open. */
  #unname(tree: Tree, change: () => void): void {
    if (tree.users === 1 && tree.height === 0) {
      change();
      this.#volume.destroyFile(tree);
      return;
    }
    const orphans = this.#volume.use(ORPHANS, this.#volume.path);
    const bucket = this.#volume.directories.openForAdding(orphans, orphanName(tree.number));
    this.#volume.directories.put(bucket, { number: tree.number, kind: tree.kind });
    this.#volume.directories.close(bucket);
    this.#volume.leave(orphans);
    change();
    tree.makeOrphan();
    tree.setTime('changed', this.#now());
    if (tree.users === 1) this.destroyIfPossible(tree);
  }

  #move(source: Place, target: Place, held: Tree[], detail: string, to: string): void {
    const { directories } = this.#volume;
    const into = directories.openForAdding(target.directory, target.name);
    let outOf: Bucket | undefined;
    try {
      outOf = directories.open(source.directory, source.name);
      const moved = directories.look(outOf);
      if (moved === undefined) throw failure('ENOENT', 'rename', detail);
      const replaced = directories.look(into);
      if (replaced?.number === moved.number) return;
      const tree = this.#use(moved.number, to);
      held.push(tree);
      if (tree.kind === FileKind.directory) this.#requireOutside(target.directory, tree.number, detail);
      const old = replaced === undefined ? undefined : this.#use(replaced.number, to);
      if (old !== undefined) held.push(old);
      if (old !== undefined) requireReplaceable(old, tree, detail);
      const from = outOf;
      const change = () => {
        directories.remove(from);
        directories.put(into, moved);
        tree.parent = target.directory.number;
      };
      if (old === undefined) change();
      else this.#unname(old, change);
      const now = this.#now();
      touched(source.directory, now);
      touched(target.directory, now);
      tree.setTime('changed', now);
    } finally {
      if (outOf !== undefined) directories.close(outOf);
      directories.close(into);
    }
  }

  /** A directory cannot move into one that lies in it. */
  #requireOutside(directory: Tree, moved: number, detail: string): void {
    for (let { number } = directory; number !== ROOT_DIRECTORY; ) {
      if (number === moved) throw failure('EINVAL', 'rename', detail);
      const tree = this.#volume.use(number, this.#volume.path);
      number = tree.parent;
      this.#volume.leave(tree);
    }
  }

  #fullPath(path: string): string {
    return `${this.#volume.path}/${path.replace(/^\/+/, '')}`;
  }
}

export function setTimes(tree: Tree, { accessed, modified }: FileTimes, now: number): void {
  if (accessed !== undefined) tree.setTime('accessed', accessed);
  if (modified !== undefined) tree.setTime('modified', modified);
  tree.setTime('changed', now);
}

function touched(directory: Tree, now: number): void {
  directory.setTime('modified', now);
  directory.setTime('changed', now);
}

function requireReplaceable(old: Tree, by: Tree, detail: string): void {
  const directory = old.kind === FileKind.directory;
  if (directory && by.kind !== FileKind.directory) throw failure('EISDIR', 'rename', detail);
  if (!directory && by.kind === FileKind.directory) throw failure('ENOTDIR', 'rename', detail);
  if (directory && old.children > 0) throw failure('ENOTEMPTY', 'rename', detail);
}

/** A name for a file that has none: its number. */
function orphanName(number: number): Bytes {
  return new TextEncoder().encode(String(number));
}
