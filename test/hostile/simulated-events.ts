import { constants } from 'node:os';
import { access, keyOfWord, loadOf, type World } from './explore.ts';

/**
 * The kernel's ways to wait and to wake, over the memory of an exploration. No wait ever times out here, so that a
 * wake-up that is lost is never made good.
 */
let shared = new Int32Array(new SharedArrayBuffer(4));

/** Sets the memory that addresses, counted from zero, lie in. */
export function setSharedMemory(words: Int32Array<SharedArrayBuffer>): void {
  shared = words;
}

const countOf = (descriptor: number): string => `descriptor ${descriptor}`;
const sleeperAt = (address: number): string => `sleeper at ${address}`;
const wordAt = (address: number): string => keyOfWord(shared, address / 4);

/** Readable is readable: how often it was signalled makes no difference to those who wait. */
export function signalEvent(descriptor: number): number {
  return access(({ memory }) => {
    memory.set(countOf(descriptor), 1);
    return 0;
  });
}

export function drainEvent(descriptor: number): number {
  return access(({ memory }) => {
    const count = memory.get(countOf(descriptor)) ?? 0;
    memory.set(countOf(descriptor), 0);
    return count === 0 ? -constants.errno.EAGAIN : count;
  });
}

/** Waits until a descriptor is readable. */
export function waitForEvent(descriptor: number): void {
  access(({ memory }) => (memory.get(countOf(descriptor)) === 1 ? 1 : undefined));
}

export function futexWait(address: number, expected: number): number {
  const sleeps = access((world: World) => {
    if (loadOf(wordAt(address))(world) !== expected) return 0;
    world.memory.set(sleeperAt(address), 1);
    return 1;
  });
  if (sleeps === 0) return -constants.errno.EAGAIN;
  return access(({ memory }) => (memory.get(sleeperAt(address)) === 1 ? undefined : 0));
}

export function futexWake(address: number): number {
  return access(({ memory }) => {
    const woken = memory.get(sleeperAt(address)) ?? 0;
    memory.set(sleeperAt(address), 0);
    return woken;
  });
}

export function yieldProcessor(): number {
  return 0;
}
