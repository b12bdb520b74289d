import { AbortError } from '../../errors.ts';
import type { AsyncCallOptions } from '../transfer.ts';
import { failure } from './path.ts';
import type { Tree } from './tree.ts';

const locks = new WeakMap<Tree, FileLocks>();

/** Who has a file locked, as flock(2) has it: one alone, or several that share it. */
export class FileLocks {
  readonly #holders = new Set<object>();
  readonly #waiting = new Set<() => void>();
  #shared = false;

  static of(tree: Tree): FileLocks {
    const known = locks.get(tree);
    if (known !== undefined) return known;
    const made = new FileLocks();
    locks.set(tree, made);
    return made;
  }

  /** Takes the lock, or changes how it is held; false when others are in the way. */
  take(holder: object, shared: boolean): boolean {
    const others = this.#holders.size - (this.#holders.has(holder) ? 1 : 0);
    if (others > 0 && !(shared && this.#shared)) return false;
    const loosened = shared && !this.#shared && this.#holders.has(holder);
    this.#holders.add(holder);
    this.#shared = shared;
    if (loosened) this.#wake();
    return true;
  }

  drop(holder: object): void {
    if (this.#holders.delete(holder)) this.#wake();
  }

  /** Tries whenever a lock is let go, until it succeeds. */
  async wait(take: () => boolean, options: AsyncCallOptions | undefined, path: string): Promise<void> {
    const { signal, timeout } = options ?? {};
    if (signal?.aborted === true) throw new AbortError('the call was aborted', { cause: signal.reason });
    if (take()) return;
    await new Promise<void>((resolve, reject) => {
      const end = (settle: () => void) => {
        this.#waiting.delete(attempt);
        signal?.removeEventListener('abort', abort);
        clearTimeout(timer);
        settle();
      };
      const attempt = () => {
        try {
          if (take()) end(resolve);
        } catch (error) {
          end(() => reject(error));
        }
      };
      const abort = () =>
        end(() => reject(new AbortError('the call was aborted', { cause: signal?.reason })));
      const timer =
        timeout === undefined
          ? undefined
          : setTimeout(() => end(() => reject(failure('ETIMEDOUT', 'flock', path))), timeout);
      this.#waiting.add(attempt);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  #wake(): void {
    for (const attempt of [...this.#waiting]) attempt();
  }
}
