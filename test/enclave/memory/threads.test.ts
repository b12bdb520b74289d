import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { SecureHeap } from '../../../src/enclave/memory/heap.ts';
import { privateBytesFor } from '../../../src/enclave/memory/layout.ts';
import { POLICIES } from '../../../src/enclave/memory/policy.ts';
import { SharedMemoryStore } from '../../../src/enclave/memory/store.ts';
import { createSecretMemory, hasSecretMemory, unmap } from '../../../src/linux/memory.ts';
import { MEBIBYTE, ordinaryMemory, untrustedMemory } from './support.ts';
import type { ThreadTask } from './threads.worker.ts';

const STORE_BYTES = 4 * MEBIBYTE;
const THREADS = 3;
const STEPS = 3000;

async function run(task: ThreadTask): Promise<void> {
  const worker = new Worker(new URL('./threads.worker.js', import.meta.url), { workerData: task });
  const [message] = await once(worker, 'message');
  assert.equal(message, 'done');
  await once(worker, 'exit');
}

describe('threads of one enclave', () => {
  for (const policy of POLICIES) {
    it(`work in one heap at once, each finding what it wrote (${policy})`, async () => {
      const bytes = privateBytesFor(24, STORE_BYTES);
      const memory = hasSecretMemory() ? createSecretMemory(bytes) : ordinaryMemory(bytes);
      const storeBuffer = new SharedArrayBuffer(STORE_BYTES);
      const store = new SharedMemoryStore(memory, untrustedMemory(storeBuffer));
      const heap = SecureHeap.create(memory, store, { frames: 24, policy });
      const shared = heap.alloc(20 * 4096);
      const { usedBytes } = heap.counters();
      heap.share();
      const tasks = Array.from({ length: THREADS }, (_, seed) => ({
        address: memory.address,
        bytes,
        store: storeBuffer,
        seed,
        steps: STEPS,
        shared: shared.address,
      }));
      await Promise.all(tasks.map(run));
      assert.equal(heap.counters().usedBytes, usedBytes);
      for (let seed = 0; seed < THREADS; seed++) {
        let steps = 0;
        for (let page = 0; page < 20; page++) steps += shared.getFloat64(page * 4096 + seed * 8);
        assert.equal(steps, STEPS);
      }
      shared.unlink();
      assert.equal(heap.reclaim(24) >= 23, true, 'no pin is left but that of the table page');
      assert.throws(
        () =>
          SecureHeap.attach(memory, { ...store, bytes: MEBIBYTE, batch: 1, load: () => {}, save: () => {} }),
        {
          code: 'SGXIO_INVALID_ARGUMENT',
        },
      );
      heap.close();
      if (hasSecretMemory()) unmap(memory.address, bytes);
    });
  }
});
