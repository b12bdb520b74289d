import { MARK_BYTES } from './format.ts';

/** What a counter keeps: how often it was advanced, and 16 bytes that name the state which advanced it. */
export interface CounterValue {
  readonly count: number;
  readonly mark: Uint8Array<ArrayBuffer>;
}

/**
 * A counter outside the store that the host cannot set back: it makes the return of an older store show (Memoir, 3.2;
 * ROTE). The mark is what tells two states of one count apart, one of which was cut short by a crash and never
 * acknowledged.
 */
export interface MonotonicCounter {
  /** Undefined before the first advance. */
  read(): CounterValue | undefined;
  /** Keeps the value durably. Refuses, by throwing, one whose count is not greater than the one that it keeps. */
  advance(value: CounterValue): void;
}

/** What to do with a store that is not the newest state that the counter knows of. */
export type StalePolicy = 'refuse' | 'warn' | 'accept';
export const STALE_POLICIES: readonly StalePolicy[] = ['refuse', 'warn', 'accept'];

/** The root of a store as the counter would know it. */
export interface RootIdentity {
  readonly count: number;
  readonly mark: Uint8Array<ArrayBuffer>;
  readonly previousMark: Uint8Array<ArrayBuffer>;
}

/** Says what is wrong with the age of a root; undefined when it is the newest. */
export function findStaleness(root: RootIdentity, value: CounterValue | undefined): string | undefined {
  if (value === undefined) {
    return root.count === 0 ? undefined : 'its monotonic counter has forgotten it';
  }
  if (root.count === value.count && equal(root.mark, value.mark)) return undefined;
  // The machine stopped between the root and the counter.
  if (root.count === value.count + 1 && equal(root.previousMark, value.mark)) return undefined;
  if (root.count > value.count)
    return `its monotonic counter was set back to ${value.count} from ${root.count}`;
  return `it is an older state: number ${root.count}, of which there were ${value.count}`;
}

/** The mark of a state that no counter knows. */
export const NO_MARK: Uint8Array<ArrayBuffer> = new Uint8Array(MARK_BYTES);

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
