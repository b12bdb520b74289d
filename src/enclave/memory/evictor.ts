import { STORE_BATCH_PAGES } from '../../limits.ts';
import type { PageCache } from './page-cache.ts';

/**
 * Keeps frames free between the program's tasks (Eleos' swapper thread), so that a fault seldom has to seal a page
 * before it can open another. It begins when half of the free frames are used, and each batch is a task of its own.
 */
export class Evictor {
  readonly #cache: PageCache;
  readonly #target: number;
  #isScheduled = false;
  #isClosed = false;

  constructor(cache: PageCache, target: number) {
    this.#cache = cache;
    this.#target = target;
    cache.whenFewAreFree(Math.ceil(target / 2), () => this.#schedule());
  }

  close(): void {
    this.#isClosed = true;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    setImmediate(this.#evictSome);
  }

  readonly #evictSome = (): void => {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    // A cache that was made smaller keeps half of its frames for pages.
    const most = Math.min(this.#target, this.#cache.frameCount >> 1);
    const wanted = Math.min(this.#cache.freeFrames + STORE_BATCH_PAGES, most);
    try {
      if (this.#cache.reclaim(wanted) >= wanted && wanted < most) this.#schedule();
    } catch {
      // A store that fails leaves every page where it is; the next fault that needs a frame says so.
    }
  };
}
