import { FILE_DURABILITIES, type FileDurability } from '../../boundary/grants.ts';
import { InvalidArgumentError, SgxioError } from '../../errors.ts';
import { type MountLock, MountState, Word } from './books.ts';
import { Names } from './names.ts';
import type { Patience } from './patience.ts';
import type { Tree } from './tree.ts';
import type { Volume } from './volume.ts';

/** Under `none`, changes survive the end of the process, not that of the machine. */
export type Durability = FileDurability;

/** What a mount and its open files have in common. */
export class Core {
  readonly volume: Volume;
  readonly names: Names;
  readonly durability: Durability;
  readonly now: () => number;
  readonly lock: MountLock;
  readonly #words: Int32Array<ArrayBuffer>;

  constructor(volume: Volume, durability: Durability, now: () => number) {
    if (!FILE_DURABILITIES.includes(durability)) {
      throw new InvalidArgumentError(
        `there is no durability '${durability}'; there are ${FILE_DURABILITIES.join(', ')}`,
      );
    }
    const { lock, words } = volume.blocks.frames;
    this.volume = volume;
    this.lock = lock;
    this.#words = words;
    this.durability = durability;
    this.now = now;
    this.names = new Names(volume, now);
  }

  /** Runs what changes nothing. */
  read<Result>(operation: () => Result): Result {
    this.lock.take();
    try {
      this.#requireOpen();
      return operation();
    } finally {
      this.lock.give();
    }
  }

  async readAsync<Result>(operation: () => Result, patience: Patience): Promise<Result> {
    return await this.volume.blocks.attempt(operation, () => this.#requireOpen(), patience);
  }

  change<Result>(operation: () => Result): Result {
    return this.lock.run(() => {
      this.#begin();
      const result = operation();
      if (this.durability === 'write') this.volume.commit(true);
      return result;
    });
  }

  async changeAsync<Result>(operation: () => Result, patience: Patience): Promise<Result> {
    const { blocks } = this.volume;
    const result = await blocks.attempt(operation, () => this.#begin(), patience);
    if (this.durability === 'write') await this.volume.commitAsync(true);
    // Write-behind: a cache that is half dirty is written out before it is full.
    else if (blocks.frames.dirtyCount > blocks.frames.count >> 1) await blocks.writeBack.flushAsync();
    return result;
  }

  sync(): void {
    this.read(() => this.volume.commit(this.durability !== 'none'));
  }

  /** Out of patience, it goes on all the same: what is on its way cannot be called back. */
  async syncAsync(patience: Patience): Promise<void> {
    patience.check();
    this.#requireOpen();
    let isDone = false;
    const commit = this.volume.commitAsync(this.durability !== 'none').then(() => {
      isDone = true;
    });
    await patience.waitFor(commit);
    if (!isDone) patience.check();
  }

  /** One user of a file less; one without a name goes with its last. */
  leave(tree: Tree): void {
    this.lock.run(() => {
      if (!this.isOpen) return;
      if (tree.orphan && tree.users === 1) this.names.destroyIfPossible(tree);
      this.volume.leave(tree);
    });
  }

  get isOpen(): boolean {
    return this.#words[Word.state] === MountState.open;
  }

  close(): void {
    this.#words[Word.state] = MountState.closed;
  }

  #begin(): void {
    this.#requireOpen();
    this.volume.beginChange();
    if (this.#words[Word.begun] !== 0) return;
    this.#words[Word.begun] = 1;
    this.names.destroyOrphans();
  }

  #requireOpen(): void {
    if (!this.isOpen) throw new SgxioError('SGXIO_CLOSED', `${this.volume.path} was closed; open it again`);
  }
}
