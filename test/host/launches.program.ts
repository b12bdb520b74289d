import * as v from 'valibot';
import {
  currentThread,
  launchable,
  monotonicTime,
  type PinnedPlace,
  pinned,
  sharedRegion,
  tasks,
} from '../../src/enclave.ts';

/** What the tests of launches run inside. */

export function nothing(): void {}

export function echo(...values: unknown[]): unknown {
  return values.length === 1 ? values[0] : values;
}

export async function echoLater(value: string): Promise<string> {
  await tasks.yield();
  return value;
}

export const version = 3;

export const add: (left: number, right?: number) => Promise<number> = launchable(
  [v.number(), v.optional(v.number(), 1)],
  (left, right) => left + right,
);

export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code = 'REFUSED';
  readonly secret = 'private';
}

export function refuse(reason: string): never {
  throw new Refusal(reason);
}

export function throwText(): never {
  throw 'text';
}

export function large(bytes: number): Uint8Array {
  return new Uint8Array(bytes);
}

const gates = new Map<string, () => void>();
const log: string[] = [];

/** Waits until `open` is launched with the same name, or until the launch is given up. */
export async function wait(name: string, ...values: unknown[]): Promise<unknown> {
  const { signal } = tasks.current();
  await new Promise<void>((resolve) => {
    gates.set(name, resolve);
    signal.addEventListener('abort', () => {
      log.push(`aborted ${name}`);
      resolve();
    });
  });
  gates.delete(name);
  return values;
}

export function open(name: string): void {
  gates.get(name)?.();
}

export function isWaiting(name: string): boolean {
  return gates.has(name);
}

export function note(text: string): void {
  log.push(text);
}

export function takeLog(): string[] {
  return log.splice(0);
}

/** Holds the thread until the host says so in a word of its pinned memory. */
export function holdThread(place: PinnedPlace): void {
  const words = pinned.words(place, []);
  while (words.load(0) === 0);
}

/** Holds the thread for that long. */
export function compute(milliseconds: number): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

export async function computeWithPauses(milliseconds: number): Promise<void> {
  const until = performance.now() + milliseconds;
  while (performance.now() < until) await tasks.yield();
}

/** Asks the host for the time, a call in the middle of a launch, and never returns. */
export function callForEver(): Promise<never> {
  monotonicTime();
  return new Promise(() => {});
}

/** Asks the host for the time, lets the thread look for launches, and then opens a gate. */
export async function callAndOpen(name: string): Promise<void> {
  monotonicTime();
  await tasks.yield();
  await tasks.yield();
  open(name);
}

export async function callBetween(values: unknown): Promise<unknown> {
  await tasks.yield();
  monotonicTime();
  return values;
}

export function thread(): { index: number; count: number } {
  return { ...currentThread() };
}

export function dieLater(): Promise<never> {
  setTimeout(() => {
    throw new Error('nobody catches this');
  });
  return new Promise(() => {});
}

let mine = 0;

export function countMine(): number {
  return ++mine;
}

export function countOurs(rounds: number): number {
  const counter = new Int32Array(
    sharedRegion('counter', 4).bytes.buffer,
    sharedRegion('counter', 4).bytes.byteOffset,
    1,
  );
  for (let round = 0; round < rounds; round++) Atomics.add(counter, 0, 1);
  return Atomics.load(counter, 0);
}

export async function family(failing: boolean): Promise<string> {
  const parent = tasks.current();
  parent.spawn(async (child) => {
    await tasks.yield();
    child.spawn(async () => {
      await tasks.yield();
      log.push('grandchild');
    });
    log.push('child');
  });
  if (failing) {
    parent.spawn(async () => {
      await tasks.yield();
      throw new Refusal('of a child');
    });
    parent.spawn(
      async ({ signal }) =>
        await new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            log.push('sibling cancelled');
            resolve();
          });
        }),
    );
  }
  return 'parent';
}

export function spawnTooLate(): Promise<unknown> {
  const parent = tasks.current();
  setTimeout(() => {
    try {
      parent.spawn(() => {});
    } catch (error) {
      log.push((error as { code: string }).code);
    }
  });
  return Promise.resolve();
}

export async function currentTooLate(): Promise<void> {
  await tasks.yield();
  tasks.current();
}

/** Notes when it begins and when it ends, some turns later. */
export async function step(name: string, turns: number): Promise<string> {
  log.push(`+${name}`);
  for (let turn = 0; turn < turns; turn++) await tasks.yield();
  log.push(`-${name}`);
  return name;
}

/** The same, and writes a number into a word of the host's before it ends. */
export async function stamp(name: string, turns: number, place: PinnedPlace, number: number): Promise<void> {
  log.push(`+${name}`);
  for (let turn = 0; turn < turns; turn++) await tasks.yield();
  await pinned.copyOut(place, new Uint8Array(Int32Array.of(number).buffer));
  log.push(`-${name}`);
}
