import { createHash } from 'node:crypto';
import { type BufferOptions, buffers, type PinnedPlace, pinned, tasks } from '../../src/enclave.ts';

/** What the tests of copies run inside. */

export function hash(handle: number): string {
  return buffers.use(handle, (bytes) => createHash('sha256').update(bytes).digest('hex'));
}

export function create(options: BufferOptions): number {
  return buffers.create(options);
}

export function free(handle: number): void {
  buffers.free(handle);
}

export function count(): number {
  return buffers.count();
}

export function fill(handle: number, value: number): void {
  buffers.use(handle, (bytes) => bytes.fill(value));
}

export function isZero(handle: number): boolean {
  return buffers.use(handle, (bytes) => bytes.every((byte) => byte === 0));
}

/** Adds one to each byte. */
export function increment(handle: number): void {
  buffers.use(handle, (bytes) => {
    for (let index = 0; index < bytes.length; index++) bytes[index]! += 1;
  });
}

let release = (): void => {};

/** Uses a buffer until `letGo` is launched. */
export async function hold(handle: number): Promise<number> {
  return await buffers.use(handle, async (bytes) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return bytes[0]!;
  });
}

export function letGo(): void {
  release();
}

/** Copies from the host's memory, adds one to each byte, and copies back. */
export async function incrementPinned(place: PinnedPlace): Promise<void> {
  const bytes = new Uint8Array(place.bytes);
  await pinned.copyIn(bytes, place);
  for (let index = 0; index < bytes.length; index++) bytes[index]! += 1;
  await pinned.copyOut(place, bytes);
}

/** Counts in word 0 until the host asks in word 1 to stop, or has counted enough. */
export async function countUntilStopped(place: PinnedPlace, most: number): Promise<number> {
  const words = pinned.words(place, [0]);
  while (words.load(0) < most && words.load(1) === 0) {
    words.add(0, 1);
    await tasks.yield();
  }
  return words.load(0);
}

export function writeOther(place: PinnedPlace): void {
  pinned.words(place, [0]).store(1, 1);
}
