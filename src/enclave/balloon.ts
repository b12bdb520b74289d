import { InvalidArgumentError } from '../errors.ts';
import { MINIMUM_CACHE_FRAMES } from '../limits.ts';
import { LaunchRejection } from './launchable.ts';

/** A page cache that can be made larger and smaller. */
interface Resizable {
  readonly frameCount: number;
  readonly frameCapacity: number;
  resize(frames: number): number;
}

/** The heaps of this thread's program whose caches the host may ask for, and the fewest frames that each keeps. */
const heaps: { readonly heap: Resizable; readonly least: number }[] = [];

export function letHostResize(heap: Resizable, least: number): void {
  if (!Number.isSafeInteger(least) || least < MINIMUM_CACHE_FRAMES || least > heap.frameCapacity) {
    throw new InvalidArgumentError(
      `leastFrames is from ${MINIMUM_CACHE_FRAMES} to ${heap.frameCapacity} for this heap, not ${least}`,
    );
  }
  heaps.push({ heap, least });
}

/**
 * Serves the host's wish for a cache of so many frames in all, in even shares within the bounds of each heap. What is
 * pinned stays, so there may be more.
 */
export function balloon(frames: unknown): { frames: number; least: number; most: number } {
  if (heaps.length === 0) throw new LaunchRejection('no heap of this thread lets the host resize it');
  if (frames !== undefined) resizeAll(frames);
  const sum = (of: (entry: (typeof heaps)[number]) => number): number =>
    heaps.reduce((total, entry) => total + of(entry), 0);
  return {
    frames: sum(({ heap }) => heap.frameCount),
    least: sum(({ least }) => least),
    most: sum(({ heap }) => heap.frameCapacity),
  };
}

function resizeAll(frames: unknown): void {
  if (!Number.isSafeInteger(frames)) throw new LaunchRejection('a number of frames is a whole number');
  let left = frames as number;
  for (const [index, { heap, least }] of heaps.entries()) {
    const share = Math.floor(left / (heaps.length - index));
    left -= heap.resize(Math.min(Math.max(share, least), heap.frameCapacity));
  }
}
