import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  BLOCK,
  createMount,
  HostFile,
  openMount,
  pattern,
  readFile,
  snapshot,
  writeFile,
} from './support.ts';

const FLAGS = ['r', 'r+', 'w', 'wx', 'w+', 'wx+', 'a', 'ax', 'a+', 'ax+', 'rs', 'rs+', 'as', 'as+'] as const;

/** What happens, in the words of both: a code, or what the file holds afterwards. */
function outcome(run: () => Uint8Array): string {
  try {
    return Buffer.from(run()).toString('latin1');
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

test('every flag does what it does in node:fs: on a file, on none, on a directory', () => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'flags-'));
  try {
    for (const flags of FLAGS) {
      for (const there of ['file', 'nothing', 'directory'] as const) {
        const name = `${flags} ${there}`;
        const path = join(folder, name);
        const { mount } = createMount();
        if (there === 'file') {
          fs.writeFileSync(path, 'before');
          writeFile(mount, name, Buffer.from('before'));
        } else if (there === 'directory') {
          fs.mkdirSync(path);
          mount.mkdir(name);
        }
        const bytes = new Uint8Array(Buffer.from('XY'));
        const expected = outcome(() => {
          const file = fs.openSync(path, flags);
          try {
            fs.writeSync(file, bytes, 0, 2, 1);
          } finally {
            fs.closeSync(file);
          }
          return fs.readFileSync(path);
        });
        const found = outcome(() => {
          using file = mount.open(name, flags);
          file.write(bytes, { position: 1 });
          return readFile(mount, name);
        });
        // Linux opens a directory for reading, and then reads nothing.
        if (there === 'directory' && flags.startsWith('r') && !flags.includes('+'))
          assert.equal(found, 'EISDIR');
        else assert.equal(found, expected, name);
      }
    }
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('without a position, reads and writes go on where the last one ended', async () => {
  const { mount } = createMount();
  using file = mount.open('/a', 'w+');
  file.write(pattern(1, 5000));
  await file.writeAsync(pattern(2, 5000));
  using again = mount.open('/a');
  const bytes = new Uint8Array(4000);
  assert.equal(again.read(bytes), 4000);
  assert.equal(await again.readAsync(bytes), 4000);
  assert.deepEqual(bytes.slice(1000), pattern(2, 5000).slice(0, 3000));
  assert.equal(again.read(bytes, { position: 9999 }), 1);
  assert.equal(again.read(bytes), 2000);
  assert.equal(await again.readAsync(bytes), 0);
  assert.equal(again.read(bytes, { position: 1_000_000 }), 0);
});

test('appending tasks lose nothing', async () => {
  const { mount } = createMount();
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const file = await mount.openAsync('/log', 'a');
      for (let round = 0; round < 10; round++) await file.writeAsync(new Uint8Array(777).fill(index + 1));
      await file.closeAsync();
    }),
  );
  const bytes = readFile(mount, '/log');
  assert.equal(bytes.length, 20 * 10 * 777);
  for (let index = 1; index <= 20; index++) {
    assert.equal(bytes.filter((byte) => byte === index).length, 7770);
  }
});

test('vectors are read and written one after the other', async () => {
  const { mount } = createMount();
  using file = mount.open('/a', 'w+');
  assert.equal(file.writeVectors([pattern(1, 10), pattern(2, 5000)], { position: 3 }), 5010);
  const parts = [new Uint8Array(3), new Uint8Array(10), new Uint8Array(6000)];
  assert.equal(await file.readVectorsAsync(parts, { position: 0 }), 5013);
  assert.deepEqual(parts[1], pattern(1, 10));
  assert.deepEqual(parts[2]!.subarray(0, 5000), pattern(2, 5000));
  assert.equal(await file.writeVectorsAsync([pattern(3, 4), pattern(4, 4)], { position: 0 }), 8);
  assert.equal(file.readVectors([parts[0]!], { position: 0 }), 3);
});

test('durability says when the store has what was written', async () => {
  const states = { none: 0, sync: 0, close: 1, write: 1 } as const;
  for (const [durability, files] of Object.entries(states) as [keyof typeof states, number][]) {
    let syncs = 0;
    const { mount, file } = createMount({ durability });
    file.beforeSync = () => {
      syncs++;
    };
    writeFile(mount, '/a', pattern(1, 100));
    assert.equal(snapshot(openMount(file.copy())).size, files, durability);
    await (await mount.openAsync('/b', 'w')).closeAsync();
    const before = syncs;
    mount.sync();
    assert.equal(snapshot(openMount(file.copy())).size, 2, durability);
    if (durability === 'none') assert.equal(syncs, 0);
    if (durability === 'sync') assert.equal(syncs, before + 2);
  }
});

test('locks of open files of one mount', async () => {
  const { mount } = createMount();
  using one = mount.open('/a', 'w');
  using other = mount.open('/a');
  assert.ok(one.tryLock());
  assert.ok(!other.tryLock({ shared: true }));
  assert.throws(() => other.lock(), { code: 'EDEADLK' });
  await assert.rejects(other.lockAsync({ timeout: 5 }), { code: 'ETIMEDOUT' });
  const controller = new AbortController();
  const given = other.lockAsync({ signal: controller.signal });
  controller.abort();
  await assert.rejects(given, { code: 'SGXIO_ABORTED' });
  const waiting = other.lockAsync();
  assert.ok(one.tryLock({ shared: true }));
  one.unlock();
  await waiting;
  assert.ok(!one.tryLock());
  other.close();
  assert.ok(one.tryLock());
});

test('a block sent back early is not sent again by the sync', () => {
  const { mount, file } = createMount();
  using open = mount.open('/a', 'w');
  open.write(pattern(1, 20 * BLOCK));
  file.journal = [];
  open.writeBack(2 * BLOCK, 5 * BLOCK);
  const [early] = file.journal;
  assert.ok(early !== undefined && early !== 'sync' && early.bytes.length === 5 * BLOCK);
  file.journal = [];
  mount.sync();
  const written = file.journal.reduce(
    (sum, step) => sum + (step === 'sync' ? 0 : step.bytes.length / BLOCK),
    0,
  );
  // 15 blocks of the file, its index, the directory, the table and the root.
  assert.equal(written, 15 + 1 + 1 + 1 + 1);
});

test('what is written once is not fetched', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, 100 * BLOCK));
  mount.close();
  const again = openMount(file);
  using open = again.open('/a', 'r+', { writeOnce: true });
  open.write(pattern(2, 10), { position: 0 });
  const before = file.reads;
  for (let block = 1; block < 20; block++) open.write(pattern(block, 10), { position: block * BLOCK + 5 });
  assert.equal(file.reads, before);
});

test('a file of a million blocks, mostly holes, over a cache of 64', () => {
  const { mount, file } = createMount();
  {
    using sparse = mount.open('/sparse', 'w');
    sparse.truncate(1_000_000 * BLOCK);
    for (let block = 999; block < 1_000_000; block += 7919) {
      sparse.write(pattern(block, BLOCK), { position: block * BLOCK });
    }
  }
  mount.close();
  const again = openMount(new HostFile(file.content));
  using sparse = again.open('/sparse', 'r+');
  assert.equal(sparse.stat().size, 1_000_000 * BLOCK);
  const bytes = new Uint8Array(BLOCK);
  for (let block = 999; block < 1_000_000; block += 7919) {
    sparse.read(bytes, { position: block * BLOCK });
    assert.deepEqual(bytes, pattern(block, BLOCK));
    sparse.read(bytes, { position: (block - 1) * BLOCK });
    assert.ok(bytes.every((byte) => byte === 0));
  }
  sparse.truncate(0);
  again.sync();
  assert.ok(again.space.free > 200);
});

test('what was closed is of no use, and says so', () => {
  const { mount } = createMount();
  const file = mount.open('/a', 'w+');
  assert.throws(() => file.write(new Uint8Array(new SharedArrayBuffer(8)) as never), {
    code: 'SGXIO_INVALID_ARGUMENT',
  });
  assert.throws(() => file.read(new Uint8Array(1), { position: -1 }), { code: 'SGXIO_INVALID_ARGUMENT' });
  assert.throws(() => file.truncate(0.5), { code: 'SGXIO_INVALID_ARGUMENT' });
  assert.throws(() => file.truncate(2 ** 45), { code: 'EFBIG' });
  assert.throws(() => mount.open('/a', 'q' as never), { code: 'SGXIO_INVALID_ARGUMENT' });
  assert.throws(() => createMount({ blocks: 10 }), { code: 'SGXIO_INVALID_ARGUMENT' });
  assert.throws(() => createMount({ durability: 'soon' as never }), { code: 'SGXIO_INVALID_ARGUMENT' });
  file.close();
  file.close();
  assert.throws(() => file.write(new Uint8Array(1)), { code: 'SGXIO_CLOSED' });
  const open = mount.open('/a');
  mount.close();
  mount.close();
  assert.throws(() => open.read(new Uint8Array(1)), { code: 'SGXIO_CLOSED' });
  assert.throws(() => mount.open('/a'), { code: 'SGXIO_CLOSED' });
  open.close();
});
