import type { Core } from './core.ts';
import { BLOCK_BYTES } from './format.ts';
import type { Tree } from './tree.ts';

/** A block of a file in its frame, until it is unmapped. */
export class Mapping {
  /** The bytes of the file from `position` on. They are no longer the file's once it is unmapped. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly position: number;
  readonly #core: Core;
  readonly #tree: Tree;
  readonly #frame: number;
  readonly #write: boolean;
  #mapped = true;

  constructor(core: Core, tree: Tree, index: number, write: boolean) {
    const { blocks } = core.volume;
    this.#core = core;
    this.#tree = tree;
    this.#write = write;
    this.#frame = write ? tree.pinForWriting(index, false) : blocks.pin(tree, 0, index);
    this.position = index * BLOCK_BYTES;
    const at = blocks.frames.at(this.#frame);
    const length = Math.min(BLOCK_BYTES, tree.size - this.position);
    this.bytes = blocks.frames.bytes.subarray(at, at + length);
    tree.users++;
    tree.mapped++;
  }

  /** Lets the block go. What was written to it counts as changed from now on. */
  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    const tree = this.#tree;
    if (this.#write) {
      this.#core.change(() => {
        this.#core.volume.blocks.frames.dirty(this.#frame);
        tree.setTime('modified', this.#core.now());
      });
    }
    this.#core.lock.run(() => {
      tree.mapped--;
      this.#core.volume.blocks.unpin(this.#frame);
      this.#core.leave(tree);
    });
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}
