import { constants } from 'node:os';
import { SystemError } from '../../errors.ts';
import { PROTECTED_DIRECTORY_BITS_MAX } from '../../limits.ts';
import type { Blocks } from './blocks.ts';
import { BLOCK_BYTES, Name } from './format.ts';
import type { Tree } from './tree.ts';

export interface NamedFile {
  readonly number: number;
  readonly kind: number;
}

export interface ListedFile extends NamedFile {
  readonly name: Uint8Array<ArrayBuffer>;
}

/** The block of a directory that a name belongs in, held in its frame until it is let go. */
export interface Bucket {
  readonly directory: Tree;
  readonly frame: number;
  readonly name: Uint8Array<ArrayBuffer>;
  readonly hash: number;
}

/**
 * Directories: a name belongs in the block that the last bits of its hash tell, so that finding it costs one block. When
 * a block is full the directory doubles. An entry whose hash tells another block is what a doubling left behind, and
 * counts for nothing.
 */
export class Directories {
  readonly #blocks: Blocks;

  constructor(blocks: Blocks) {
    this.#blocks = blocks;
  }

  find(directory: Tree, name: Uint8Array<ArrayBuffer>): NamedFile | undefined {
    const bucket = this.open(directory, name);
    const found = this.look(bucket);
    this.close(bucket);
    return found;
  }

  open(directory: Tree, name: Uint8Array<ArrayBuffer>): Bucket {
    const hash = this.#blocks.keys.hashName(name);
    return { directory, name, hash, frame: this.#blocks.pin(directory, 0, indexOf(directory, hash)) };
  }

  close({ frame }: Bucket): void {
    this.#blocks.unpin(frame);
  }

  /** What the name of a bucket names. */
  look(bucket: Bucket): NamedFile | undefined {
    const at = this.#entryOf(bucket);
    if (at < 0) return undefined;
    const { bytes, view } = this.#blocks.frames;
    return { number: view.getUint32(at + Name.number, true), kind: bytes[at + Name.kind]! };
  }

  /** Opens the bucket of a name with room for it; the directory doubles as often as that takes. */
  openForAdding(directory: Tree, name: Uint8Array<ArrayBuffer>): Bucket {
    for (;;) {
      const bucket = this.open(directory, name);
      if (this.#entryOf(bucket) >= 0 || this.#fill(bucket.frame) + Name.text + name.length <= BLOCK_BYTES)
        return bucket;
      this.#purge(bucket);
      if (this.#fill(bucket.frame) + Name.text + name.length <= BLOCK_BYTES) return bucket;
      this.close(bucket);
      this.#double(directory);
    }
  }

  /** Makes the name of a bucket name a file. There is room. Returns whether it is a new name. */
  put({ directory, frame, name, hash }: Bucket, { number, kind }: NamedFile): boolean {
    const { bytes, view } = this.#blocks.frames;
    const present = this.#entryOf({ directory, frame, name, hash });
    const at = present >= 0 ? present : this.#blocks.frames.at(frame) + this.#fill(frame);
    bytes[at + Name.length] = name.length;
    bytes[at + Name.kind] = kind;
    view.setUint32(at + Name.hash, hash, true);
    view.setUint32(at + Name.number, number, true);
    bytes.set(name, at + Name.text);
    this.#blocks.frames.dirty(frame);
    if (present < 0) directory.children += 1;
    return present < 0;
  }

  /** Takes the name of a bucket out, if it is there. */
  remove(bucket: Bucket): void {
    const at = this.#entryOf(bucket);
    if (at < 0) return;
    this.#erase(bucket.frame, at);
    bucket.directory.children -= 1;
  }

  /** All names of a directory. */
  list(directory: Tree): ListedFile[] {
    const files: ListedFile[] = [];
    for (let index = 0; index < 2 ** directory.bucketBits; index++) this.#listBlock(directory, index, files);
    return files;
  }

  #listBlock(directory: Tree, index: number, files: ListedFile[]): void {
    const { bytes, view } = this.#blocks.frames;
    const frame = this.#blocks.pin(directory, 0, index);
    this.#each(frame, (at) => {
      if (indexOf(directory, view.getUint32(at + Name.hash, true)) !== index) return;
      const text = at + Name.text;
      files.push({
        name: bytes.slice(text, text + bytes[at + Name.length]!),
        number: view.getUint32(at + Name.number, true),
        kind: bytes[at + Name.kind]!,
      });
    });
    this.#blocks.unpin(frame);
  }

  #entryOf({ frame, name, hash }: Bucket): number {
    const { bytes, view } = this.#blocks.frames;
    const end = this.#blocks.frames.at(frame) + BLOCK_BYTES;
    for (let at = end - BLOCK_BYTES; at + Name.text < end && bytes[at] !== 0; at += Name.text + bytes[at]!) {
      if (view.getUint32(at + Name.hash, true) === hash && this.#isNamed(at, name)) return at;
    }
    return -1;
  }

  #isNamed(at: number, name: Uint8Array<ArrayBuffer>): boolean {
    const { bytes } = this.#blocks.frames;
    if (bytes[at + Name.length] !== name.length) return false;
    for (let index = 0; index < name.length; index++) {
      if (bytes[at + Name.text + index] !== name[index]) return false;
    }
    return true;
  }

  /** Bytes of a block that have entries. */
  #fill(frame: number): number {
    const { bytes } = this.#blocks.frames;
    const start = this.#blocks.frames.at(frame);
    const end = start + BLOCK_BYTES;
    let at = start;
    while (at + Name.text < end && bytes[at] !== 0) at += Name.text + bytes[at]!;
    return at - start;
  }

  #each(frame: number, visit: (at: number) => void): void {
    const { bytes } = this.#blocks.frames;
    const end = this.#blocks.frames.at(frame) + BLOCK_BYTES;
    for (let at = this.#blocks.frames.at(frame); at + Name.text < end && bytes[at] !== 0; ) {
      const next = at + Name.text + bytes[at]!;
      visit(at);
      at = next;
    }
  }

  #erase(frame: number, at: number): void {
    const { bytes } = this.#blocks.frames;
    const end = this.#blocks.frames.at(frame) + BLOCK_BYTES;
    const size = Name.text + bytes[at]!;
    bytes.copyWithin(at, at + size, end);
    bytes.fill(0, end - size, end);
    this.#blocks.frames.dirty(frame);
  }

  /** Takes out what a doubling left behind. */
  #purge({ directory, frame }: Bucket): void {
    const { indexes, view } = this.#blocks.frames;
    const stale: number[] = [];
    this.#each(frame, (at) => {
      if (indexOf(directory, view.getUint32(at + Name.hash, true)) !== indexes[frame]) stale.push(at);
    });
    for (const at of stale.reverse()) this.#erase(frame, at);
  }

  /** Copies what belongs in the new half there. Cut short, the directory is as it was. */
  #double(directory: Tree): void {
    const bits = directory.bucketBits;
    if (bits === PROTECTED_DIRECTORY_BITS_MAX) {
      throw new SystemError('ENOSPC', -constants.errno.ENOSPC, 'open', directory.path);
    }
    const half = 2 ** bits;
    directory.cut(half);
    directory.cover(2 * half);
    for (let index = 0; index < half; index++) this.#split(directory, index, half);
    directory.bucketBits = bits + 1;
    directory.size = 2 * half * BLOCK_BYTES;
  }

  #split(directory: Tree, index: number, half: number): void {
    const { frames } = this.#blocks;
    const { bytes, view } = frames;
    const from = this.#blocks.pin(directory, 0, index);
    let to = -1;
    let end = 0;
    try {
      this.#each(from, (at) => {
        const hash = view.getUint32(at + Name.hash, true);
        if (indexOf(directory, hash) !== index || (hash & half) === 0) return;
        if (to < 0) {
          to = directory.pinForWriting(index + half, true);
          end = frames.at(to);
          bytes.fill(0, end, end + BLOCK_BYTES);
        }
        const size = Name.text + bytes[at]!;
        bytes.copyWithin(end, at, at + size);
        end += size;
      });
    } finally {
      this.#blocks.unpin(from);
      if (to >= 0) this.#blocks.unpin(to);
    }
  }
}

function indexOf(directory: Tree, hash: number): number {
  return hash & (2 ** directory.bucketBits - 1);
}
