import { pinnedStart } from '../boundary/layout.ts';
import { SharedWords, sharedWordsBytes } from '../boundary/shared-words.ts';
import { InvalidArgumentError } from '../errors.ts';
import { COPY_CHUNK_BYTES } from '../limits.ts';
import { privateAddress } from '../linux/addresses.ts';
import { copyMemory } from '../linux/memory.ts';
import { runtime } from './runtime.ts';
import { tasks } from './tasks.ts';

/** A place in the host's pinned memory, as the host names it in a launch. */
export interface PinnedPlace {
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Copies from the host's pinned memory into `target`, as much as that has room for. Other tasks of the thread
 * run between parts; what the host writes meanwhile comes in as it happens to be.
 */
async function copyIn(target: Uint8Array<ArrayBuffer>, place: PinnedPlace): Promise<void> {
  const from = addressOf(place, target.length);
  await inParts(target.length, (start, bytes) =>
    copyMemory(privateAddress(target) + start, from + start, bytes),
  );
}

/** Copies `source` out to the host's pinned memory, for everyone to see. */
async function copyOut(place: PinnedPlace, source: Uint8Array<ArrayBuffer>): Promise<void> {
  const to = addressOf(place, source.length);
  await inParts(source.length, (start, bytes) =>
    copyMemory(to + start, privateAddress(source) + start, bytes),
  );
}

async function inParts(bytes: number, copy: (start: number, bytes: number) => void): Promise<void> {
  for (let start = 0; start < bytes; start += COPY_CHUNK_BYTES) {
    if (start > 0) await tasks.yield();
    copy(start, Math.min(COPY_CHUNK_BYTES, bytes - start));
  }
}

/** Words that the host has put into pinned memory; `writable` are those that the enclave writes. */
function words(place: PinnedPlace, writable: readonly number[]): SharedWords {
  const count = Math.floor(place.bytes / sharedWordsBytes(1));
  const start = checked(place, sharedWordsBytes(count));
  return new SharedWords(new Uint8Array(runtime().words.buffer, start, sharedWordsBytes(count)), writable);
}

function addressOf(place: PinnedPlace, bytes: number): number {
  return runtime().boundaryAddress + checked(place, bytes);
}

/** The offset in the boundary of a place that has so many bytes and lies in pinned memory. */
function checked({ offset, bytes: length }: PinnedPlace, bytes: number): number {
  const { thread, words } = runtime();
  const start = pinnedStart(thread.count);
  const end = words.buffer.byteLength - start;
  if (
    Number.isSafeInteger(offset) &&
    offset >= 0 &&
    offset % 4 === 0 &&
    bytes <= length &&
    offset + bytes <= end
  )
    return start + offset;
  throw new InvalidArgumentError(`${bytes} bytes from ${offset} are no place in pinned memory`);
}

/** What a program does with the host's pinned memory by itself. */
export const pinned: {
  readonly copyIn: typeof copyIn;
  readonly copyOut: typeof copyOut;
  readonly words: typeof words;
} = { copyIn, copyOut, words };
