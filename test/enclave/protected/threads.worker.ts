import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import { NodeBlockFile } from '../../../src/cli/node-block-file.ts';
import { Frames } from '../../../src/enclave/protected/frames.ts';
import { ProtectedMount } from '../../../src/enclave/protected/mount.ts';
import { viewOf } from '../../../src/linux/ffi.ts';
import { apply, applyAsync, applyToModel, type Change, Model } from './model.ts';
import { BLOCK, seededRandom, snapshot } from './support.ts';

/** What a thread is told: where the mount's books are, and which thread it is. */
export interface ThreadTask {
  readonly address: number;
  readonly bytes: number;
  readonly slots: SharedArrayBuffer;
  readonly store: string;
  readonly seed: number;
  readonly steps: number;
  /** Counts the threads that are ready, of so many. */
  readonly ready: SharedArrayBuffer;
  readonly threads: number;
}

const task = workerData as ThreadTask;
const own = `/thread${task.seed}`;
const below = seededRandom(task.seed);
const bytes = new Uint8Array(viewOf(task.address, task.bytes));
const mount = ProtectedMount.join(new NodeBlockFile(task.store, 'r+'), {
  path: '/data',
  frames: new Frames({ address: task.address, bytes }),
  slots: task.slots,
});
const model = new Model(new Map([['', null]]));
mount.mkdir(own);
model.mkdir(own);
const shared = mount.open('/shared', 'r+');
const ready = new Int32Array(task.ready);
Atomics.add(ready, 0, 1);
while (Atomics.load(ready, 0) < task.threads) Atomics.wait(ready, 0, 0, 1);
for (let step = 0; step < task.steps; step++) {
  const change = someChange();
  const outcome = step % 2 === 0 ? apply(mount, change) : await applyAsync(mount, change);
  assert.equal(outcome, applyToModel(model, change));
  // A place of its own in every block of a file that all threads write, and one for all of them under a lock.
  count(below(20) * BLOCK + 8 * (task.seed + 1));
  if (step % 4 === 0) {
    await shared.lockAsync();
    count(0);
    await shared.unlockAsync();
  }
  if (below(12) === 0) await mount.syncAsync();
  if (below(12) === 0) mount.sync();
}
shared.close();
const found = snapshot(mount, own);
assert.deepEqual(found, new Map([...model.snapshot()].filter(([path]) => path !== `${own}/`)));
parentPort!.postMessage(new Map([[`${own}/`, ''], ...found]));

function someChange(): Change {
  const path = `${own}/${'ab'[below(2)]}${below(3) === 0 ? '/c' : ''}`;
  const kind = (['write', 'write', 'write', 'truncate', 'mkdir', 'unlink', 'rmdir', 'rename'] as const)[
    below(8)
  ]!;
  if (kind === 'write') {
    return { kind, path, position: below(60 * BLOCK), seed: below(1000), length: below(5 * BLOCK) };
  }
  if (kind === 'truncate') return { kind, path, length: below(60 * BLOCK) };
  if (kind === 'rename') return { kind, path, to: `${own}/${'ab'[below(2)]}` };
  return { kind, path };
}

function count(position: number): void {
  const number = new Float64Array(1);
  const view = new Uint8Array(number.buffer);
  shared.read(view, { position });
  number[0]! += 1;
  shared.write(view, { position });
}
