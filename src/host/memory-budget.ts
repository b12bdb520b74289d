import { InvalidArgumentError } from '../errors.ts';
import { PAGE_BYTES } from '../limits.ts';
import type { Balloon } from './balloon.ts';

/** What a budget needs of an enclave. */
export interface Budgeted {
  readonly exited: Promise<unknown>;
  balloon(frames?: number): Promise<Balloon>;
}

/**
 * Shares one budget of memory for page caches among enclaves (Eleos, 3.2: ballooning, without the driver): evenly,
 * within the bounds that each gives. Those that have too much are asked to shrink before others may grow, so that
 * together they hold no more than the budget but for what an enclave keeps pinned.
 *
 * An enclave is asked, never forced: what it promises is what it says. Private memory that was used once is not
 * given back to the machine before its enclave ends, since the kernel has no way to; a frame that was never used
 * takes nothing.
 */
export class MemoryBudget {
  readonly #frames: number;
  readonly #members = new Set<Budgeted>();
  #turn: Promise<void> = Promise.resolve();

  /** `bytes` of frames for all enclaves together. */
  constructor(bytes: number) {
    if (!Number.isSafeInteger(bytes) || bytes < PAGE_BYTES) {
      throw new InvalidArgumentError(`a budget is a number of bytes from ${PAGE_BYTES} on, not ${bytes}`);
    }
    this.#frames = Math.floor(bytes / PAGE_BYTES);
  }

  /** Takes an enclave in until it ends. Rejects, and leaves the others as they are, when the least of all is too much. */
  async add(enclave: Budgeted): Promise<void> {
    await this.#inTurn(async () => {
      const bounds = await this.#ask([...this.#members, enclave]);
      const least = bounds.reduce((sum, balloon) => sum + balloon.least, 0);
      if (least > this.#frames) {
        throw new InvalidArgumentError(
          `the enclaves need ${least} frames at least, more than the budget of ${this.#frames}`,
        );
      }
      this.#members.add(enclave);
      await this.#share();
    });
    // When it fails, another one has ended too, and its own removal shares anew.
    void enclave.exited.then(() => this.remove(enclave)).catch(() => {});
  }

  /** Lets an enclave go, and the others have its share. */
  async remove(enclave: Budgeted): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#members.delete(enclave)) await this.#share();
    });
  }

  async #share(): Promise<void> {
    const members = [...this.#members];
    const balloons = await this.#ask(members);
    const wanted = evenShares(this.#frames, balloons);
    const held = balloons.map(({ frames }) => frames);
    for (const [index, member] of members.entries()) {
      if (wanted[index]! <= held[index]!) held[index] = (await member.balloon(wanted[index])).frames;
    }
    let free = this.#frames - held.reduce((sum, frames) => sum + frames, 0);
    for (const [index, member] of members.entries()) {
      const growth = Math.min(wanted[index]! - held[index]!, free);
      if (growth <= 0) continue;
      const { frames } = await member.balloon(held[index]! + growth);
      free -= frames - held[index]!;
    }
  }

  #ask(members: readonly Budgeted[]): Promise<Balloon[]> {
    return Promise.all(members.map((member) => member.balloon()));
  }

  /** One change after the other. */
  async #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(change);
    this.#turn = done.catch(() => {});
    await done;
  }
}

/** Even shares of `total`, each within its bounds; what one cannot use is the others'. */
export function evenShares(
  total: number,
  bounds: readonly { readonly least: number; readonly most: number }[],
): number[] {
  const shares = bounds.map(({ least }) => least);
  let left = total - shares.reduce((sum, share) => sum + share, 0);
  while (left > 0) {
    const open = shares.flatMap((share, index) => (share < bounds[index]!.most ? [index] : []));
    if (open.length === 0) break;
    // The lowest of them rise together, to where the next one is, one is full, or nothing is left.
    const level = Math.min(...open.map((index) => shares[index]!));
    const lowest = open.filter((index) => shares[index] === level);
    const others = open.filter((index) => shares[index] !== level);
    const ceiling = Math.min(
      ...others.map((index) => shares[index]!),
      ...lowest.map((index) => bounds[index]!.most),
    );
    const rise = Math.min(ceiling - level, Math.floor(left / lowest.length));
    if (rise === 0) break;
    for (const index of lowest) shares[index]! += rise;
    left -= rise * lowest.length;
  }
  return shares;
}
