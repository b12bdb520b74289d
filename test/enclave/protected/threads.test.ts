import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { NodeBlockFile } from '../../../src/cli/node-block-file.ts';
import { cacheBytes, Frames } from '../../../src/enclave/protected/frames.ts';
import { type MountOptions, ProtectedMount } from '../../../src/enclave/protected/mount.ts';
import { createSlotMemory } from '../../../src/enclave/protected/slots.ts';
import { createSecretMemory, hasSecretMemory, unmap } from '../../../src/linux/memory.ts';
import { ordinaryMemory } from '../memory/support.ts';
import { BLOCK, KEY, openMount, pattern, readFile, snapshot, writeFile } from './support.ts';
import type { ThreadTask } from './threads.worker.ts';

const THREADS = 3;
const STEPS = 300;

interface SharedMount {
  readonly mount: ProtectedMount;
  readonly store: string;
  readonly options: MountOptions & { readonly slots: SharedArrayBuffer };
  /** The same mount as another thread has it. */
  join(): ProtectedMount;
  readonly memory: { readonly address: number; readonly bytes: number };
}

function createShared(t: TestContext, blocks = 64): SharedMount {
  const folder = mkdtempSync(join(tmpdir(), 'sgxio-threads-'));
  const store = join(folder, 'store');
  const bytes = cacheBytes(blocks);
  const memory = hasSecretMemory() ? createSecretMemory(bytes) : ordinaryMemory(bytes);
  t.after(() => {
    if (hasSecretMemory()) unmap(memory.address, bytes);
    rmSync(folder, { recursive: true });
  });
  const framesOf = () => new Frames({ address: memory.address, bytes: new Uint8Array(memory.buffer) });
  const options = { key: KEY, path: '/data', frames: framesOf(), slots: createSlotMemory() };
  return {
    mount: ProtectedMount.create(new NodeBlockFile(store, 'wx+'), options),
    store,
    options,
    join: () => ProtectedMount.join(new NodeBlockFile(store, 'r+'), { ...options, frames: framesOf() }),
    memory: { address: memory.address, bytes },
  };
}

async function run(task: ThreadTask): Promise<Map<string, string>> {
  const worker = new Worker(new URL('./threads.worker.js', import.meta.url), { workerData: task });
  const [files] = await once(worker, 'message');
  await once(worker, 'exit');
  return files;
}

test('threads work in one mount at once, each finding what it wrote, and a crash brings all of it back', async (t) => {
  const { mount, store, options, memory } = createShared(t);
  writeFile(mount, '/shared', new Uint8Array(20 * BLOCK));
  mount.sync();
  const ready = new SharedArrayBuffer(4);
  const tasks = Array.from({ length: THREADS }, (_, seed) => ({
    ...memory,
    slots: options.slots,
    store,
    seed,
    steps: STEPS,
    ready,
    threads: THREADS,
  }));
  const results = await Promise.all(tasks.map(run));
  const expected = new Map(results.flatMap((files) => [...files]));
  const numbers = new DataView(readFile(mount, '/shared').buffer);
  const sum = (slot: number): number => {
    let total = 0;
    for (let block = 0; block < 20; block++) total += numbers.getFloat64(block * BLOCK + slot * 8, true);
    return total;
  };
  assert.equal(sum(0), THREADS * Math.ceil(STEPS / 4), 'under the lock of the file none was lost');
  for (let seed = 0; seed < THREADS; seed++) assert.equal(sum(seed + 1), STEPS);
  mount.sync();
  const present = snapshot(mount);
  // As a crash leaves it: nothing is closed.
  const again = openMount(new NodeBlockFile(store, 'r'));
  assert.deepEqual(snapshot(again), present);
  present.delete('/shared');
  assert.deepEqual(present, new Map([...expected].sort(([left], [right]) => (left < right ? -1 : 1))));
});

test('what one thread did the others see at once: contents, sizes, names, mapped blocks', (t) => {
  const shared = createShared(t);
  const { mount } = shared;
  const other = shared.join();
  using file = mount.open('/a', 'w+');
  using same = other.open('/a', 'r+');
  file.write(pattern(1, 2 * BLOCK));
  assert.deepEqual(readFile(other, '/a'), pattern(1, 2 * BLOCK));
  same.truncate(10);
  assert.equal(file.stat().size, 10);
  other.rename('/a', '/b');
  assert.deepEqual(
    mount.readdir('/').map(({ name }) => name),
    ['b'],
  );
  using mine = file.map(0, { write: true });
  using theirs = same.map(0);
  mine.bytes[3] = 77;
  assert.equal(theirs.bytes[3], 77);
  assert.throws(() => same.truncate(0), { code: 'EBUSY' });
});

test('a file that another thread has open outlives its name, and goes with its last user', (t) => {
  const shared = createShared(t);
  const other = shared.join();
  writeFile(shared.mount, '/a', pattern(1, 200 * BLOCK));
  const open = other.open('/a');
  shared.mount.unlink('/a');
  shared.mount.sync();
  const bytes = new Uint8Array(BLOCK);
  assert.equal(open.read(bytes, { position: 199 * BLOCK }), BLOCK);
  assert.deepEqual(bytes, pattern(1, 200 * BLOCK).slice(199 * BLOCK));
  assert.ok(shared.mount.space.free < 100);
  open.close();
  shared.mount.sync();
  assert.ok(shared.mount.space.free > 190);
});

test('the lock of a file holds between threads', async (t) => {
  const shared = createShared(t);
  using one = shared.mount.open('/a', 'w');
  using two = shared.join().open('/a');
  assert.ok(one.tryLock({ shared: true }));
  assert.ok(two.tryLock({ shared: true }));
  assert.ok(!two.tryLock());
  one.unlock();
  assert.ok(two.tryLock());
  assert.ok(!one.tryLock({ shared: true }));
  const waiting = one.lockAsync();
  two.unlock();
  await waiting;
  assert.ok(!two.tryLock({ shared: true }));
  one.close();
  assert.ok(two.tryLock());
});

test('a sync of one thread makes durable what another has on its way', async (t) => {
  const shared = createShared(t);
  const other = shared.join();
  for (let round = 0; round < 20; round++) {
    using file = shared.mount.open('/a', 'w');
    await file.writeAsync(pattern(round, 50 * BLOCK));
    writeFile(other, '/b', pattern(round + 100, 30 * BLOCK));
    const slow = shared.mount.syncAsync();
    if (round % 2 === 0) other.sync();
    else await other.syncAsync();
    const crashed = openMount(new NodeBlockFile(shared.store, 'r'));
    assert.deepEqual(readFile(crashed, '/a'), pattern(round, 50 * BLOCK));
    assert.deepEqual(readFile(crashed, '/b'), pattern(round + 100, 30 * BLOCK));
    await slow;
    await other.syncAsync();
    assert.deepEqual(snapshot(openMount(new NodeBlockFile(shared.store, 'r'))), snapshot(other));
  }
});

test('threads agree on the key and the counter, and a mount that one closed is closed for all', (t) => {
  const shared = createShared(t);
  const store = () => new NodeBlockFile(shared.store, 'r+');
  assert.throws(
    () => ProtectedMount.join(store(), { ...shared.options, key: pattern(1, 32) }),
    /another key/,
  );
  const counter = { read: () => undefined, advance: () => {} };
  assert.throws(() => ProtectedMount.join(store(), { ...shared.options, counter }), /monotonic counter/);
  const other = shared.join();
  writeFile(other, '/a', pattern(1, 10));
  shared.mount.close();
  assert.throws(() => other.open('/a'), { code: 'SGXIO_CLOSED' });
  assert.throws(() => ProtectedMount.open(store(), shared.options), { code: 'SGXIO_CLOSED' });
  assert.deepEqual(readFile(openMount(store()), '/a'), pattern(1, 10));
});
