import { type Layout, type PolicyTables, Word } from './layout.ts';

/**
 * Which page leaves the cache. A policy knows the frames that it was given, and holds no state outside the
 * tables. `victim` takes the frame out of its books.
 */
export interface EvictionPolicy {
  insert(frame: number, page: number): void;
  touch(frame: number): void;
  remove(frame: number): void;
  /** A frame that nobody holds, or -1 when every one is pinned. Bounded: it never circles. */
  victim(): number;
}

export type PolicyName = 'clock' | 's3-fifo';
export const POLICIES: readonly PolicyName[] = ['clock', 's3-fifo'];

/** What a policy sees of a cache. */
export type PolicyLayout = Pick<Layout, 'frames' | 'words' | 'pins' | 'pageOf' | 'policy'>;

export function createPolicy(name: PolicyName, layout: PolicyLayout): EvictionPolicy {
  return name === 'clock' ? new Clock(layout) : new S3Fifo(layout);
}

/** CLOCK: a hand goes round and takes the first frame that was not used since it last came by. */
class Clock implements EvictionPolicy {
  readonly #frames: number;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #pins: Int32Array<ArrayBuffer>;
  readonly #present: Uint8Array<ArrayBuffer>;
  readonly #used: Uint8Array<ArrayBuffer>;

  constructor(layout: PolicyLayout) {
    this.#frames = layout.frames;
    this.#words = layout.words;
    this.#pins = layout.pins;
    this.#present = layout.policy.queue;
    this.#used = layout.policy.uses;
  }

  insert(frame: number): void {
    this.#present[frame] = 1;
    this.#used[frame] = 0;
  }

  touch(frame: number): void {
    this.#used[frame] = 1;
  }

  remove(frame: number): void {
    this.#present[frame] = 0;
  }

  victim(): number {
    let hand = this.#words[Word.policyState]!;
    let found = -1;
    for (let step = 0; step <= 2 * this.#frames && found < 0; step++) {
      const frame = hand;
      hand = hand + 1 === this.#frames ? 0 : hand + 1;
      if (this.#present[frame] === 0 || this.#pins[frame] !== 0) continue;
      if (this.#used[frame] === 0) found = frame;
      this.#used[frame] = 0;
    }
    this.#words[Word.policyState] = hand;
    if (found >= 0) this.#present[found] = 0;
    return found;
  }
}

const NOWHERE = 0;
const SMALL = 1;
const MAIN = 2;
const MOST_USES = 3;
/** Words of the policy's state, from `Word.policyState` on: per queue its newest, its oldest and its length. */
const NEWEST = 0;
const OLDEST = 1;
const LENGTH = 2;
const QUEUE_WORDS = 3;
const GHOSTS = QUEUE_WORDS * MAIN;

/**
 * S3-FIFO (Yang et al., SOSP'23): new pages pass a small queue, a tenth of the cache; those used meanwhile move to
 * the main queue, the others leave, remembered as ghosts; a ghost that comes back goes to the main queue at once. So
 * a scan flushes the small queue only.
 */
class S3Fifo implements EvictionPolicy {
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #pins: Int32Array<ArrayBuffer>;
  readonly #pageOf: Int32Array<ArrayBuffer>;
  readonly #tables: PolicyTables;

  constructor(layout: PolicyLayout) {
    this.#words = layout.words;
    this.#pins = layout.pins;
    this.#pageOf = layout.pageOf;
    this.#tables = layout.policy;
  }

  insert(frame: number, page: number): void {
    this.#tables.uses[frame] = 0;
    this.#push(this.#wasGhost(page) ? MAIN : SMALL, frame);
  }

  touch(frame: number): void {
    const uses = this.#tables.uses[frame]!;
    if (uses < MOST_USES) this.#tables.uses[frame] = uses + 1;
  }

  remove(frame: number): void {
    const { newer, older, queue } = this.#tables;
    if (queue[frame] === NOWHERE) return;
    const state = this.#stateOf(queue[frame]!);
    const before = newer[frame]!;
    const after = older[frame]!;
    if (before < 0) this.#words[state + NEWEST] = after;
    else older[before] = after;
    if (after < 0) this.#words[state + OLDEST] = before;
    else newer[after] = before;
    this.#words[state + LENGTH]! -= 1;
    queue[frame] = NOWHERE;
  }

  victim(): number {
    const small = this.#stateOf(SMALL) + LENGTH;
    const main = this.#stateOf(MAIN) + LENGTH;
    const share = Math.ceil(this.#words[Word.limit]! / 10);
    // Each frame may be passed over once in the small queue and `MOST_USES + 1` times in the main one.
    let steps = (MOST_USES + 2) * (this.#words[small]! + this.#words[main]!);
    let pinned = 0;
    while (steps-- > 0) {
      const many = this.#words[small]! > share || this.#words[main] === 0;
      const fromSmall = this.#words[small]! > 0 && (many || pinned >= this.#words[main]!);
      const frame = this.#words[this.#stateOf(fromSmall ? SMALL : MAIN) + OLDEST]!;
      if (frame < 0) return -1;
      this.remove(frame);
      if (this.#pins[frame] !== 0) {
        this.#push(MAIN, frame);
        pinned++;
      } else if (this.#tables.uses[frame] === 0) {
        if (fromSmall) this.#remember(this.#pageOf[frame]!);
        return frame;
      } else {
        this.#tables.uses[frame] = fromSmall ? 0 : this.#tables.uses[frame]! - 1;
        this.#push(MAIN, frame);
      }
    }
    return -1;
  }

  #stateOf(queue: number): number {
    return Word.policyState + (queue - 1) * QUEUE_WORDS;
  }

  #push(queue: number, frame: number): void {
    const { newer, older } = this.#tables;
    const state = this.#stateOf(queue);
    const empty = this.#words[state + LENGTH] === 0;
    const newest = empty ? -1 : this.#words[state + NEWEST]!;
    newer[frame] = -1;
    older[frame] = newest;
    if (empty) this.#words[state + OLDEST] = frame;
    else newer[newest] = frame;
    this.#words[state + NEWEST] = frame;
    this.#words[state + LENGTH]! += 1;
    this.#tables.queue[frame] = queue;
  }

  /** Ghosts lie in a table by hash, each with the time it left; the younger takes the place of the older. */
  #remember(page: number): void {
    const at = this.#ghostAt(page);
    const now = (this.#words[Word.policyState + GHOSTS]! + 1) | 0;
    this.#words[Word.policyState + GHOSTS] = now;
    this.#tables.ghostPage[at] = page + 1;
    this.#tables.ghostTime[at] = now;
  }

  #wasGhost(page: number): boolean {
    const at = this.#ghostAt(page);
    if (this.#tables.ghostPage[at] !== page + 1) return false;
    this.#tables.ghostPage[at] = 0;
    const age = (this.#words[Word.policyState + GHOSTS]! - this.#tables.ghostTime[at]!) | 0;
    return age < this.#words[Word.limit]!;
  }

  #ghostAt(page: number): number {
    return (Math.imul(page, 0x9e3779b1) >>> 8) & (this.#tables.ghostPage.length - 1);
  }
}
