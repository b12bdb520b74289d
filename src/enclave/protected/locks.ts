import { AbortError } from '../../errors.ts';
import { FILE_LOCK_PAUSE_MILLISECONDS_MAX } from '../../limits.ts';
import type { AsyncCallOptions } from '../transfer.ts';
import { failure } from './path.ts';
import type { Tree } from './tree.ts';

const ALONE = -1;

const locks = new WeakMap<Tree, FileLocks>();

/**
 * Who of this thread has a file locked, as flock(2) has it: one alone, or several that share it. How it is locked, by
 * all threads, stands with the file; it is read and changed under the lock of the mount.
 */
export class FileLocks {
  readonly #tree: Tree;
  readonly #holders = new Set<object>();
  readonly #waiting = new Set<() => void>();

  private constructor(tree: Tree) {
    this.#tree = tree;
  }

  static of(tree: Tree): FileLocks {
    const known = locks.get(tree);
    if (known !== undefined) return known;
    const made = new FileLocks(tree);
    locks.set(tree, made);
    return made;
  }

  /** Whether this thread has it locked. */
  get held(): boolean {
    return this.#holders.size > 0;
  }

  /** Takes the lock, or changes how it is held; false when others are in the way. */
  take(holder: object, shared: boolean): boolean {
    const before = this.#tree.locked;
    const others = this.#holders.has(holder) ? before - Math.sign(before) : before;
    if (others !== 0 && !(shared && others > 0)) return false;
    this.#holders.add(holder);
    this.#tree.locked = shared ? others + 1 : ALONE;
    if (before === ALONE && shared) this.#wake();
    return true;
  }

  drop(holder: object): void {
    if (!this.#holders.delete(holder)) return;
    this.#tree.locked -= Math.sign(this.#tree.locked);
    this.#wake();
  }

  /** Tries until it succeeds: whenever this thread lets a lock go, and from time to time, because others do too. */
  async wait(take: () => boolean, options: AsyncCallOptions | undefined, path: string): Promise<void> {
    const { signal, timeout } = options ?? {};
    if (signal?.aborted === true) throw new AbortError('the call was aborted', { cause: signal.reason });
    if (take()) return;
    await new Promise<void>((resolve, reject) => {
      let pause = 1;
      let next: NodeJS.Timeout | undefined;
      const end = (settle: () => void) => {
        this.#waiting.delete(attempt);
        signal?.removeEventListener('abort', abort);
        clearTimeout(timer);
        clearTimeout(next);
        settle();
      };
      const attempt = () => {
        try {
          if (take()) end(resolve);
        } catch (error) {
          end(() => reject(error));
        }
      };
      const again = () => {
        pause = Math.min(2 * pause, FILE_LOCK_PAUSE_MILLISECONDS_MAX);
        next = setTimeout(again, pause);
        attempt();
      };
      const abort = () =>
        end(() => reject(new AbortError('the call was aborted', { cause: signal?.reason })));
      const timer =
        timeout === undefined
          ? undefined
          : setTimeout(() => end(() => reject(failure('ETIMEDOUT', 'flock', path))), timeout);
      next = setTimeout(again, pause);
      this.#waiting.add(attempt);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  #wake(): void {
    for (const attempt of [...this.#waiting]) attempt();
  }
}
