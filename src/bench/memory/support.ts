import { SecureHeap } from '../../enclave/memory/heap.ts';
import { privateBytesFor } from '../../enclave/memory/layout.ts';
import type { PolicyName } from '../../enclave/memory/policy.ts';
import { SharedMemoryStore, type UntrustedMemory } from '../../enclave/memory/store.ts';
import { PAGE_BYTES } from '../../limits.ts';
import { closeDescriptor } from '../../linux/events.ts';
import { addressOf } from '../../linux/ffi.ts';
import { createSealedMemory, createSecretMemory, mapDescriptor, unmap } from '../../linux/memory.ts';
import type { MappedMemory } from '../../linux/openssl.ts';

export type Row = Record<string, number | string | boolean>;

export const MEBIBYTE: number = 2 ** 20;
export const EXTENT_BYTES: number = 16 * MEBIBYTE;

/** What the suite is run with: sizes in MiB. */
export interface Scale {
  readonly rounds: number;
  readonly cacheMib: number;
  readonly storesMib: readonly number[];
  readonly workMib: number;
  readonly workCacheMib: number;
  readonly traceSteps: number;
}

/**
 * Warm-up by many short calls: what is compiled within a long call has not seen the function's end, is left at it every
 * time, and keeps its numbers boxed.
 */
const WARM_UP_CALLS = 2000;
const WARM_UP_OPERATIONS = 16;

/** Nanoseconds per operation of each way, measured in turns. */
export function medians<W extends string>(
  rounds: number,
  operations: number,
  ways: Record<W, (operations: number) => void>,
): Record<W, number> {
  const times = {} as Record<W, number[]>;
  const names = Object.keys(ways) as W[];
  for (const name of names) {
    for (let call = 0; call < WARM_UP_CALLS; call++) ways[name](WARM_UP_OPERATIONS);
    ways[name](operations);
    times[name] = [];
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const started = performance.now();
      ways[name](operations);
      times[name].push(((performance.now() - started) * 1e6) / operations);
    }
  }
  const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
  return Object.fromEntries(names.map((name) => [name, middle(times[name])])) as Record<W, number>;
}

export interface OwnedHeap extends Disposable {
  readonly heap: SecureHeap;
}

/** A heap in secret memory where there may be so much of it, else in ordinary memory. */
export function createHeap(cacheMib: number, storeMib: number, policy?: PolicyName): OwnedHeap {
  const storeBytes = Math.ceil((storeMib * MEBIBYTE * 1.02) / PAGE_BYTES) * PAGE_BYTES + MEBIBYTE;
  const frames = (cacheMib * MEBIBYTE) / PAGE_BYTES;
  const bytes = privateBytesFor(frames, storeBytes);
  const { memory, release } = createPrivateMemory(bytes);
  const untrusted = createUntrustedMemory(storeBytes);
  const store = new SharedMemoryStore(memory, untrusted);
  const heap = SecureHeap.create(memory, store, policy === undefined ? { frames } : { frames, policy });
  return {
    heap,
    [Symbol.dispose]() {
      heap.close();
      release();
      unmap(untrusted.address, untrusted.bytes);
    },
  };
}

/** As an enclave has it: a mapping whose pages come when they are written. */
function createUntrustedMemory(bytes: number): UntrustedMemory {
  const descriptor = createSealedMemory('sgxio-store', bytes);
  const address = mapDescriptor(descriptor, bytes, 0);
  closeDescriptor(descriptor);
  return { address, bytes };
}

function createPrivateMemory(bytes: number): { memory: MappedMemory; release: () => void } {
  try {
    const memory = createSecretMemory(bytes);
    return { memory, release: () => unmap(memory.address, bytes) };
  } catch {
    const buffer = new ArrayBuffer(bytes);
    return { memory: { address: addressOf(new Uint8Array(buffer)), buffer }, release: () => {} };
  }
}

export function withHeap<T>(
  cacheMib: number,
  storeMib: number,
  work: (heap: SecureHeap) => T,
  policy?: PolicyName,
): T {
  using owned = createHeap(cacheMib, storeMib, policy);
  return work(owned.heap);
}

/** A generator of whole numbers below 2^31 that costs next to nothing. */
export function nextRandom(state: number): number {
  return (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
}

export function round(value: number, digits: number = 3): number {
  return Number(value.toFixed(digits));
}

/** Where results go, so that no loop is found to be useless. Never whole, so that all additions to it are of one kind. */
export const sink: Float64Array = Float64Array.of(0.5);
