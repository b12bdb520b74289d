import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import { SecureHeap } from '../../../src/enclave/memory/heap.ts';
import type { SecurePointer } from '../../../src/enclave/memory/pointer.ts';
import { SharedMemoryStore } from '../../../src/enclave/memory/store.ts';
import { viewOf } from '../../../src/linux/ffi.ts';
import { seededRandom, untrustedMemory } from './support.ts';

/** What a thread is told; its own blocks are compared with plain arrays, the shared one it only counts in. */
export interface ThreadTask {
  address: number;
  bytes: number;
  store: SharedArrayBuffer;
  seed: number;
  steps: number;
  shared: number;
}

const task = workerData as ThreadTask;
const memory = { address: task.address, buffer: viewOf(task.address, task.bytes) };
const store = new SharedMemoryStore(memory, untrustedMemory(task.store));
const heap = SecureHeap.attach(memory, store);
const below = seededRandom(task.seed);
const shared = heap.pointer(task.shared);
const blocks: { pointer: SecurePointer; model: Uint8Array<ArrayBuffer> }[] = [];

for (let step = 0; step < task.steps; step++) {
  const block = blocks[below(blocks.length)];
  if (block === undefined || (blocks.length < 10 && below(10) === 0)) {
    const length = 1 + below(20_000);
    blocks.push({ pointer: heap.alloc(length), model: new Uint8Array(length) });
  } else if (below(30) === 0) {
    heap.free(block.pointer);
    blocks.splice(blocks.indexOf(block), 1);
  } else if (below(2) === 0) {
    const offset = below(block.model.length);
    const source = new Uint8Array(1 + below(block.model.length - offset)).fill(below(256));
    block.pointer.write(offset, source);
    block.model.set(source, offset);
  } else {
    const target = new Uint8Array(block.model.length);
    block.pointer.read(0, target);
    assert.ok(Buffer.from(target).equals(block.model));
  }
  block?.pointer.unlink();
  // Each thread has a slot of its own in every page of the shared block.
  const slot = below(20) * 4096 + task.seed * 8;
  shared.setFloat64(slot, shared.getFloat64(slot) + 1);
  shared.unlink();
}
for (const { pointer } of blocks) heap.free(pointer);
heap.close();
parentPort!.postMessage('done');
