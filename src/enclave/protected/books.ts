import { lock, unlock } from '../memory/lock.ts';

/** Words of a mount that its threads share, each an Int32; the lock is on a line of its own. */
export const Word = {
  lock: 0,
  /** One of {@link MountState}. */
  state: 16,
  /** 1: a sync failed, and nothing is committed any more. */
  broken: 17,
  /** 1: something differs from the last commit. */
  changed: 18,
  /** 1: the slots in use are known. */
  spaceKnown: 19,
  /** 1: something was changed since the mount was opened. */
  begun: 20,
  /** 1: a commit is on its way that does not hold the lock. */
  committing: 21,
  /** 1: a monotonic counter is advanced with every commit. */
  counted: 22,
  /** The slot of the newest root record, and of the one on its way; -1: none. */
  newestRoot: 23,
  rootInFlight: 24,
  /** How many writes of blocks are on their way, and the name of the last one that was started. */
  flights: 25,
  lastFlight: 26,
  /** Of the frames: how many differ from the store, and the first free one. */
  dirtyFrames: 27,
  firstFreeFrame: 28,
  /** The first free entry of the tables of files in use. */
  firstFreeTree: 29,
} as const;
export const BOOK_WORDS = 32;

export const MountState = { unopened: 0, open: 1, closed: 2 } as const;

/**
 * The lock of a mount, held for one operation at a time: threads of the enclave work on one mount in turns. A thread
 * that has it may take it again.
 */
export class MountLock {
  readonly #words: Int32Array<ArrayBuffer>;
  #depth = 0;

  constructor(words: Int32Array<ArrayBuffer>) {
    this.#words = words;
  }

  take(): void {
    if (this.#depth++ === 0) lock(this.#words, Word.lock);
  }

  give(): void {
    if (--this.#depth === 0) unlock(this.#words, Word.lock);
  }

  /** Runs what is done in one go; of something asynchronous, the part before its first wait. */
  run<Result>(work: () => Result): Result {
    this.take();
    try {
      return work();
    } finally {
      this.give();
    }
  }
}
