import { InvalidArgumentError } from '../../errors.ts';
import type { AsyncCallOptions, CallOptions } from '../transfer.ts';
import type { BlockFile } from './block-file.ts';
import { Core, type Durability } from './core.ts';
import { type Access, checkMode, type FileTimes, ProtectedFile } from './file.ts';
import { FileKind } from './format.ts';
import { ProtectedDirectory, type ProtectedEntry } from './listing.ts';
import { failure } from './path.ts';
import { Patience } from './patience.ts';
import type { ProtectedStats } from './status.ts';
import type { Tree } from './tree.ts';
import { Volume, type VolumeOptions } from './volume.ts';

export interface MountOptions extends VolumeOptions {
  /** `sync` unless told. */
  readonly durability?: Durability | undefined;
  /** Milliseconds since 1970, for the times of files; the host's clock unless told. */
  readonly now?: (() => number) | undefined;
}

export interface OpenOptions {
  /** The permissions of a file that is created. */
  readonly mode?: number;
  /** Blocks that are written in part are zero elsewhere: nothing is fetched (O_GWRONCE of GPUfs). */
  readonly writeOnce?: boolean;
}

export { ProtectedFile } from './file.ts';
export { ProtectedDirectory } from './listing.ts';

/** As those of `node:fs`. */
export type ProtectedOpenFlags =
  | ('r' | 'rs' | 'r+' | 'rs+')
  | ('w' | 'wx' | 'w+' | 'wx+')
  | ('a' | 'ax' | 'as' | 'a+' | 'ax+' | 'as+');

interface Flags {
  readonly read: boolean;
  readonly write: boolean;
  readonly create: boolean;
  readonly exclusive: boolean;
  readonly truncate: boolean;
  readonly append: boolean;
  readonly synchronous: boolean;
}

const FILE_MODE = 0o666;
const DIRECTORY_MODE = 0o777;
const FLAGS = /^(?:r(?:s?\+?)|w(?:x?\+?)|a(?:[xs]?\+?))$/;

/**
 * A folder of files that the host keeps and cannot read, change or set back (GPUfs' file system for an enclave): all of
 * it lies sealed in one file of the host's, and its blocks pass a buffer cache in private memory.
 *
 * Threads of an enclave share it, each with an object of its own: they take turns, and each sees at once what the others
 * did. Operations on files change the cache; a sync, of any file, takes the whole mount from the state of the last sync
 * to that of now, and a crash leaves one of the two.
 */
export class ProtectedMount {
  readonly #core: Core;
  readonly #file: BlockFile;

  private constructor(
    file: BlockFile,
    volume: Volume,
    { durability = 'sync', now = Date.now }: Pick<MountOptions, 'durability' | 'now'>,
  ) {
    this.#file = file;
    this.#core = new Core(volume, durability, now);
  }

  /** Makes an empty mount of an empty file of the host's, which is the mount's from now on. */
  static create(file: BlockFile, options: MountOptions): ProtectedMount {
    if (file.size() !== 0) {
      throw new InvalidArgumentError(`${options.path} is not empty; a mount is created in an empty file`);
    }
    return new ProtectedMount(file, Volume.create(file, options), options);
  }

  /** Opens the newest state of a mount. */
  static open(file: BlockFile, options: MountOptions): ProtectedMount {
    return new ProtectedMount(file, Volume.open(file, options), options);
  }

  /** The mount that another thread has opened with the same `frames` and `slots`; `file` is this thread's own. */
  static join(
    file: BlockFile,
    options: Omit<MountOptions, 'key'> & { readonly key?: Uint8Array },
  ): ProtectedMount {
    return new ProtectedMount(file, Volume.join(file, options), options);
  }

  /** Of the store: slots of 4 KiB, and those that are free. Known after the first change. */
  get space(): { readonly slots: number; readonly free: number } {
    return this.#core.volume.space;
  }

  /** Opens a file; `flags` are those of `node:fs`, `r` unless told. */
  open(path: string, flags: ProtectedOpenFlags = 'r', options?: OpenOptions & CallOptions): ProtectedFile {
    const parsed = parseFlags(flags);
    const run = () => this.#open(path, parsed, options);
    return parsed.create || parsed.truncate ? this.#core.change(run) : this.#core.read(run);
  }

  async openAsync(
    path: string,
    flags: ProtectedOpenFlags = 'r',
    options?: OpenOptions & AsyncCallOptions,
  ): Promise<ProtectedFile> {
    const parsed = parseFlags(flags);
    const run = () => this.#open(path, parsed, options);
    return await (parsed.create || parsed.truncate
      ? this.#core.changeAsync(run, new Patience(options))
      : this.#core.readAsync(run, new Patience(options)));
  }

  /** All entries of a directory, in no order. */
  readdir(path: string, _options?: CallOptions): ProtectedEntry[] {
    return this.#core.read(() => this.#core.names.list(path));
  }

  async readdirAsync(path: string, options?: AsyncCallOptions): Promise<ProtectedEntry[]> {
    return await this.#core.readAsync(() => this.#core.names.list(path), new Patience(options));
  }

  /** As {@link readdir}, one entry after the other. */
  openDirectory(path: string): ProtectedDirectory {
    return new ProtectedDirectory(path, this.readdir(path));
  }

  async openDirectoryAsync(path: string, options?: AsyncCallOptions): Promise<ProtectedDirectory> {
    return new ProtectedDirectory(path, await this.readdirAsync(path, options));
  }

  stat(path: string, _options?: CallOptions): ProtectedStats {
    return this.#core.read(() => this.#core.names.status(path, 'stat'));
  }

  async statAsync(path: string, options?: AsyncCallOptions): Promise<ProtectedStats> {
    return await this.#core.readAsync(() => this.#core.names.status(path, 'stat'), new Patience(options));
  }

  /** As {@link stat}: there are no links. */
  lstat(path: string, options?: CallOptions): ProtectedStats {
    return this.stat(path, options);
  }

  async lstatAsync(path: string, options?: AsyncCallOptions): Promise<ProtectedStats> {
    return await this.statAsync(path, options);
  }

  mkdir(path: string, options?: { readonly mode?: number } & CallOptions): void {
    const mode = checkMode(options?.mode ?? DIRECTORY_MODE);
    this.#core.change(() => this.#core.names.makeDirectory(path, mode));
  }

  async mkdirAsync(path: string, options?: { readonly mode?: number } & AsyncCallOptions): Promise<void> {
    const mode = checkMode(options?.mode ?? DIRECTORY_MODE);
    await this.#core.changeAsync(() => this.#core.names.makeDirectory(path, mode), new Patience(options));
  }

  rmdir(path: string, _options?: CallOptions): void {
    this.#core.change(() => this.#core.names.removeDirectory(path));
  }

  async rmdirAsync(path: string, options?: AsyncCallOptions): Promise<void> {
    await this.#core.changeAsync(() => this.#core.names.removeDirectory(path), new Patience(options));
  }

  /** Removes a file's name; the file itself goes when nobody has it open. */
  unlink(path: string, _options?: CallOptions): void {
    this.#core.change(() => this.#core.names.unlink(path));
  }

  async unlinkAsync(path: string, options?: AsyncCallOptions): Promise<void> {
    await this.#core.changeAsync(() => this.#core.names.unlink(path), new Patience(options));
  }

  /** Gives a file or directory another name; what had that name is replaced. */
  rename(from: string, to: string, _options?: CallOptions): void {
    this.#core.change(() => this.#core.names.rename(from, to));
  }

  async renameAsync(from: string, to: string, options?: AsyncCallOptions): Promise<void> {
    await this.#core.changeAsync(() => this.#core.names.rename(from, to), new Patience(options));
  }

  /** Keeps permissions, for programs that ask for them; nothing is refused for them. */
  chmod(path: string, mode: number, _options?: CallOptions): void {
    checkMode(mode);
    this.#core.change(() => this.#core.names.changeMode(path, mode));
  }

  async chmodAsync(path: string, mode: number, options?: AsyncCallOptions): Promise<void> {
    checkMode(mode);
    await this.#core.changeAsync(() => this.#core.names.changeMode(path, mode), new Patience(options));
  }

  setTimes(path: string, times: FileTimes, _options?: CallOptions): void {
    this.#core.change(() => this.#core.names.setTimes(path, times));
  }

  async setTimesAsync(path: string, times: FileTimes, options?: AsyncCallOptions): Promise<void> {
    await this.#core.changeAsync(() => this.#core.names.setTimes(path, times), new Patience(options));
  }

  /** There are no links: EPERM, as from a file system of Linux that has none. */
  link(from: string, to: string, _options?: CallOptions): never {
    throw failure('EPERM', 'link', `${from} -> ${to}`);
  }

  async linkAsync(from: string, to: string, _options?: AsyncCallOptions): Promise<never> {
    return this.link(from, to);
  }

  symlink(_target: string, path: string, _options?: CallOptions): never {
    throw failure('EPERM', 'symlink', path);
  }

  async symlinkAsync(target: string, path: string, _options?: AsyncCallOptions): Promise<never> {
    return this.symlink(target, path);
  }

  /** ENOENT, or EINVAL: what is there is no link. */
  readlink(path: string, options?: CallOptions): never {
    this.stat(path, options);
    throw failure('EINVAL', 'readlink', path);
  }

  async readlinkAsync(path: string, options?: AsyncCallOptions): Promise<never> {
    await this.statAsync(path, options);
    throw failure('EINVAL', 'readlink', path);
  }

  /** Makes all that was changed durable. */
  sync(): void {
    this.#core.sync();
  }

  async syncAsync(options?: AsyncCallOptions): Promise<void> {
    await this.#core.syncAsync(new Patience(options));
  }

  /** Makes all that was changed durable and lets go of the store; open files are of no use any more. */
  close(): void {
    if (!this.#core.isOpen) return;
    try {
      this.#core.sync();
    } finally {
      this.abandon();
    }
  }

  /** Lets go of the store as it is: what was changed after the last sync is lost. */
  abandon(): void {
    this.#core.lock.run(() => {
      if (!this.#core.isOpen) return;
      this.#core.close();
      this.#core.volume.close();
      this.#file.close();
    });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(path: string, flags: Flags, options: OpenOptions | undefined): ProtectedFile {
    const { names } = this.#core;
    const mode = checkMode(options?.mode ?? FILE_MODE);
    const tree = flags.create
      ? names.openFile(path, { create: true, exclusive: flags.exclusive, mode })
      : names.resolve(path, 'open');
    try {
      if (tree.kind === FileKind.directory) throw failure('EISDIR', 'open', tree.path);
      if (flags.truncate && tree.size > 0) this.#empty(tree);
    } catch (error) {
      this.#core.leave(tree);
      throw error;
    }
    const access: Access = { ...flags, once: options?.writeOnce === true };
    return new ProtectedFile(this.#core, tree, tree.path, access);
  }

  #empty(tree: Tree): void {
    if (tree.heldFrom(0) >= 0) throw failure('EBUSY', 'open', tree.path);
    this.#core.volume.blocks.inPlace(() => tree.cut(0));
    tree.size = 0;
    const now = this.#core.now();
    tree.setTime('modified', now);
    tree.setTime('changed', now);
  }
}

function parseFlags(flags: ProtectedOpenFlags): Flags {
  if (!FLAGS.test(flags)) {
    throw new InvalidArgumentError(`there are no flags ${JSON.stringify(flags)}; they are those of node:fs`);
  }
  const plus = flags.includes('+');
  const letter = flags[0];
  return {
    read: plus || letter === 'r',
    write: plus || letter !== 'r',
    create: letter !== 'r',
    exclusive: flags.includes('x'),
    truncate: letter === 'w',
    append: letter === 'a',
    synchronous: flags.includes('s'),
  };
}
