import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import type { ProtectedMount } from '../../../src/enclave/protected/mount.ts';
import { SystemError } from '../../../src/errors.ts';
import {
  BLOCK,
  crashed,
  createMount,
  HostFile,
  openMount,
  pattern,
  type Step,
  seededRandom,
  snapshot,
  writeFile,
} from './support.ts';

/** Changes that touch every kind of block, each followed by a sync. */
const WORKLOAD: readonly ((mount: ProtectedMount) => void)[] = [
  (mount) => writeFile(mount, '/small', pattern(1, 100)),
  (mount) => writeFile(mount, '/large', pattern(2, 150 * BLOCK)),
  (mount) => mount.mkdir('/folder'),
  (mount) => mount.rename('/large', '/folder/large'),
  (mount) => {
    using file = mount.open('/folder/large', 'r+');
    for (let index = 0; index < 40; index++) file.write(pattern(index, 50), { position: index * 13_001 });
  },
  (mount) => {
    for (let index = 0; index < 150; index++)
      writeFile(mount, `/folder/with a long name ${index}`, pattern(index, 9));
  },
  (mount) => {
    for (let index = 0; index < 150; index += 3) mount.unlink(`/folder/with a long name ${index}`);
    writeFile(mount, '/small', pattern(3, 5000));
  },
  (mount) => {
    using file = mount.open('/folder/large', 'r+');
    file.truncate(20 * BLOCK + 5);
  },
  (mount) => mount.rename('/folder/large', '/small'),
  (mount) => writeFile(mount, '/folder/last', pattern(4, 200 * BLOCK)),
];

const SYNCS: readonly [kind: string, sync: (mount: ProtectedMount) => void | Promise<void>][] = [
  ['sync', (mount) => mount.sync()],
  ['asynchronous sync', (mount) => mount.syncAsync()],
];

for (const [kind, sync] of SYNCS) {
  test(`a crash at any write leaves the state before or after the ${kind}, whatever order the host wrote in`, async () => {
    const journal: Step[] = [];
    const { mount, file } = createMount();
    journal.push({ position: 0, bytes: file.content.slice() }, 'sync');
    file.journal = journal;
    /** The states that were synced, each with the number of steps after which it was. */
    const states = [{ steps: journal.length, files: snapshot(mount) }];
    for (const change of WORKLOAD) {
      change(mount);
      await sync(mount);
      states.push({ steps: journal.length, files: snapshot(mount) });
    }
    const chance = seededRandom(1);
    let old = 0;
    let young = 0;
    for (let cut = 2; cut <= journal.length; cut++) {
      for (let round = 0; round < 3; round++) {
        const at = states.findLastIndex(({ steps }) => steps <= cut);
        const again = openMount(crashed(journal.slice(0, cut), chance));
        const files = snapshot(again);
        if (equal(files, states[at]!.files)) old++;
        else {
          assert.deepEqual(files, states[at + 1]?.files, `cut after ${cut} steps`);
          young++;
        }
        // And it goes on from there.
        writeFile(again, '/after', pattern(9, 3 * BLOCK));
        again.sync();
        files.set('/after', text(pattern(9, 3 * BLOCK)));
        assert.ok(equal(snapshot(again), files));
      }
    }
    assert.ok(old > 0 && young > 0);
  });
}

test('after a commit that failed at its root, the state before stays whole through all that follows', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, 200 * BLOCK));
  mount.sync();
  const before = snapshot(mount);
  file.beforeWrite = (position) => {
    if (position < 4 * BLOCK) throw new SystemError('EIO', -constants.errno.EIO, 'write');
  };
  for (let round = 2; round < 8; round++) {
    writeFile(mount, '/a', pattern(round, 200 * BLOCK));
    assert.throws(() => mount.sync(), { code: 'EIO' });
    assert.ok(equal(snapshot(openMount(file.copy())), before), `round ${round}`);
  }
  file.beforeWrite = undefined;
  mount.sync();
  assert.ok(equal(snapshot(openMount(file.copy())), snapshot(mount)));
});

test('a sync is durable also when another one was on its way', async () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, 20 * BLOCK));
  const slow = mount.syncAsync();
  mount.sync();
  assert.ok(equal(snapshot(openMount(file.copy())), snapshot(mount)));
  await slow;
});

test('a store that lost the file of an open name gives its space back at the next start', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, 500 * BLOCK));
  mount.sync();
  const open = mount.open('/a');
  mount.unlink('/a');
  mount.sync();
  assert.deepEqual(open.read(new Uint8Array(10)), 10);
  const again = openMount(new HostFile(file.content.slice()));
  writeFile(again, '/b', pattern(1, 1));
  again.sync();
  assert.ok(again.space.free > 480, `${again.space.free} slots are free`);
  open.close();
  mount.sync();
  assert.ok(mount.space.free > 480);
});

test('space is used again: a file written over and over takes a few times its size', () => {
  const { mount, file } = createMount();
  for (let round = 0; round < 12; round++) {
    writeFile(mount, '/a', pattern(round, 300 * BLOCK));
    mount.sync();
  }
  assert.ok(file.content.length < 3 * 300 * BLOCK, `${file.content.length / BLOCK} slots`);
  const again = openMount(file);
  for (let round = 0; round < 12; round++) {
    writeFile(again, '/a', pattern(round, 300 * BLOCK));
    again.sync();
  }
  assert.ok(file.content.length < 3 * 300 * BLOCK, `${file.content.length / BLOCK} slots`);
});

function equal(one: Map<string, string>, other: Map<string, string>): boolean {
  return one.size === other.size && [...one].every(([path, content]) => other.get(path) === content);
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
