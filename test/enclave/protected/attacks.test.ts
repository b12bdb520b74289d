import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import type { CounterValue, MonotonicCounter } from '../../../src/enclave/protected/freshness.ts';
import { deriveMountKey } from '../../../src/enclave/protected/keys.ts';
import type { ProtectedMount } from '../../../src/enclave/protected/mount.ts';
import { FileStaleError, FileTamperedError, InvalidArgumentError, SystemError } from '../../../src/errors.ts';
import { apply, applyToModel, type Change, Model } from './model.ts';
import {
  BLOCK,
  createMount,
  HostFile,
  openMount,
  pattern,
  readFile,
  seededRandom,
  snapshot,
  writeFile,
} from './support.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const BLOCKS = 40;
const ROOT_SLOTS = 4;

/** A mount of two files of many blocks, synced, and the slots that the blocks of each lie in. */
function twoFiles(): { file: HostFile; mount: ProtectedMount; slotsOf: Record<'/a' | '/b', number> } {
  const { mount, file } = createMount();
  file.journal = [];
  const slotsOf = { '/a': 0, '/b': 0 };
  for (const path of ['/a', '/b'] as const) {
    file.journal.length = 0;
    writeFile(mount, path, pattern(path.charCodeAt(1), BLOCKS * BLOCK));
    mount.sync();
    const [first, ...others] = file.journal;
    assert.ok(first !== undefined && first !== 'sync');
    let end = first.position + first.bytes.length;
    for (const step of others) if (step !== 'sync' && step.position === end) end += step.bytes.length;
    // The block of the directory, then those of the file.
    assert.ok(end - first.position >= (1 + BLOCKS) * BLOCK);
    slotsOf[path] = first.position / BLOCK + 1;
  }
  file.journal = undefined;
  return { file, mount, slotsOf };
}

function readBlock(mount: ProtectedMount, path: string, block: number): Bytes {
  using file = mount.open(path);
  const bytes = new Uint8Array(BLOCK);
  file.read(bytes, { position: block * BLOCK });
  return bytes;
}

function expected(path: string, block: number): Bytes {
  return pattern(path.charCodeAt(1), BLOCKS * BLOCK).slice(block * BLOCK, (block + 1) * BLOCK);
}

/** Every block of both files is right, but those listed, whose reading names them. */
function assertOnly(mount: ProtectedMount, damaged: readonly [path: string, block: number][]): void {
  for (const path of ['/a', '/b']) {
    for (let block = 0; block < BLOCKS; block++) {
      if (!damaged.some(([other, number]) => other === path && number === block)) {
        assert.deepEqual(readBlock(mount, path, block), expected(path, block), `${path} ${block}`);
        continue;
      }
      assert.throws(
        () => readBlock(mount, path, block),
        (error) =>
          error instanceof FileTamperedError &&
          error.code === 'SGXIO_FILE_TAMPERED' &&
          error.path === `/data${path}` &&
          error.block === block &&
          error.message.includes(path) &&
          error.message.includes(String(block)),
      );
    }
  }
}

test('F1: a changed, zeroed or cut block does not open, is named, and spoils no other', () => {
  const { file, slotsOf } = twoFiles();
  const slot = slotsOf['/a'] + 17;
  const lies: ((copy: HostFile) => void)[] = [
    (copy) => {
      copy.slot(slot)[4095]! ^= 1;
    },
    (copy) => copy.slot(slot).fill(0),
    (copy) => copy.put(slot * BLOCK, pattern(5, BLOCK)),
  ];
  for (const lie of lies) {
    const copy = file.copy();
    lie(copy);
    assertOnly(openMount(copy), [['/a', 17]]);
  }
});

test('F1: whatever one block of the store becomes, what can be read is right', () => {
  const { file } = twoFiles();
  const intact = snapshot(openMount(file.copy()));
  for (let slot = 0; slot < file.content.length / BLOCK; slot++) {
    const copy = file.copy();
    copy.slot(slot)[100]! ^= 4;
    try {
      for (const [path, content] of snapshot(openMount(copy))) assert.equal(content, intact.get(path));
    } catch (error) {
      assert.ok(error instanceof FileTamperedError, `slot ${slot}: ${error}`);
    }
  }
});

test('F1: a store that was cut or made longer', () => {
  const { file, slotsOf } = twoFiles();
  const longer = file.copy();
  longer.put(file.content.length, pattern(1, 3 * BLOCK));
  assertOnly(openMount(longer), []);
  const shorter = file.copy();
  shorter.truncate((slotsOf['/b'] + 30) * BLOCK);
  assert.throws(() => snapshot(openMount(shorter)), FileTamperedError);
});

test('F2: blocks of one file, of two files and of two mounts cannot stand for each other', () => {
  const { file, slotsOf } = twoFiles();
  const swapped = file.copy();
  swapped.put((slotsOf['/a'] + 1) * BLOCK, file.slot(slotsOf['/a'] + 2));
  swapped.put((slotsOf['/a'] + 2) * BLOCK, file.slot(slotsOf['/a'] + 1));
  assertOnly(openMount(swapped), [
    ['/a', 1],
    ['/a', 2],
  ]);
  const across = file.copy();
  across.put((slotsOf['/a'] + 3) * BLOCK, file.slot(slotsOf['/b'] + 3));
  across.put((slotsOf['/b'] + 3) * BLOCK, file.slot(slotsOf['/a'] + 3));
  assertOnly(openMount(across), [
    ['/a', 3],
    ['/b', 3],
  ]);
  const other = twoFiles();
  const mixed = file.copy();
  mixed.put((slotsOf['/a'] + 4) * BLOCK, other.file.slot(other.slotsOf['/a'] + 4));
  assertOnly(openMount(mixed), [['/a', 4]]);
});

test('F2: the store of another mount does not open under the key of this one', () => {
  const secret = pattern(3, 32);
  const one = createMount({ key: deriveMountKey(secret, '/one') });
  one.mount.close();
  assert.throws(() => openMount(one.file, { key: deriveMountKey(secret, '/two') }), FileTamperedError);
  assert.throws(() => openMount(new HostFile(pattern(1, 5 * BLOCK))), FileTamperedError);
  assert.throws(() => openMount(new HostFile()), FileTamperedError);
});

test('F3: an older block in place of a newer one does not open, while the mount is open and after', () => {
  const { file, mount, slotsOf } = twoFiles();
  const old = file.copy();
  file.journal = [];
  using open = mount.open('/a', 'r+');
  open.write(pattern(9, BLOCK), { position: 5 * BLOCK });
  mount.sync();
  const [written] = file.journal;
  assert.ok(written !== 'sync' && written !== undefined);
  file.put(written.position, old.slot(slotsOf['/a'] + 5));
  // Push it out of the cache.
  readFile(mount, '/b');
  readFile(mount, '/b');
  for (let block = 6; block < BLOCKS; block++) readBlock(mount, '/a', block);
  assert.throws(() => readBlock(mount, '/a', 5), FileTamperedError);
  assert.throws(() => readBlock(openMount(file.copy()), '/a', 5), FileTamperedError);
});

/** A counter as it should be, in memory. */
class Counter implements MonotonicCounter {
  value: CounterValue | undefined;

  read(): CounterValue | undefined {
    return this.value;
  }

  advance(value: CounterValue): void {
    if (value.count <= (this.value?.count ?? 0)) throw new Error('a counter goes up');
    this.value = { count: value.count, mark: value.mark.slice() };
  }
}

test('F4: a whole older store shows while the mount is open', () => {
  const { file, mount } = twoFiles();
  const old = file.copy();
  writeFile(mount, '/a', pattern(50, BLOCKS * BLOCK));
  mount.sync();
  file.put(0, old.content);
  file.truncate(old.content.length);
  readFile(mount, '/b');
  assert.throws(() => {
    readFile(mount, '/a');
    readFile(mount, '/b');
    readFile(mount, '/a');
  }, FileTamperedError);
});

test('F4: a whole older store is refused, warned of or accepted after a restart', () => {
  const counter = new Counter();
  const { mount, file } = createMount({ counter });
  writeFile(mount, '/a', pattern(1, 10));
  mount.sync();
  const old = file.copy();
  writeFile(mount, '/a', pattern(2, 10));
  mount.close();
  openMount(file.copy(), { counter }).abandon();
  assert.throws(
    () => openMount(old.copy(), { counter }),
    (error) => error instanceof FileStaleError && error.code === 'SGXIO_FILE_STALE' && error.path === '/data',
  );
  const warnings: FileStaleError[] = [];
  const stale = openMount(old.copy(), { counter, stale: 'warn', onStale: (error) => warnings.push(error) });
  assert.equal(warnings.length, 1);
  assert.deepEqual(readFile(stale, '/a'), pattern(1, 10));
  const accepted = old.copy();
  const again = openMount(accepted, { counter, stale: 'accept' });
  writeFile(again, '/b', pattern(3, 10));
  again.close();
  // From now on that is the newest state there is.
  openMount(accepted.copy(), { counter }).abandon();
  assert.throws(() => openMount(file.copy(), { counter }), FileStaleError);
});

test('F4: a counter that was set back, or forgot, shows too', () => {
  const counter = new Counter();
  const { mount, file } = createMount({ counter });
  const before = counter.value;
  for (let round = 0; round < 3; round++) {
    writeFile(mount, '/a', pattern(round, 10));
    mount.sync();
  }
  counter.value = before;
  assert.throws(() => openMount(file.copy(), { counter }), FileStaleError);
  counter.value = undefined;
  assert.throws(() => openMount(file.copy(), { counter }), FileStaleError);
});

test('F5: a crash between the store and the counter opens, and its loser cannot come back', () => {
  const counter = new Counter();
  const { mount, file } = createMount({ counter });
  writeFile(mount, '/a', pattern(1, 10));
  mount.sync();
  const before = file.copy();
  const { value } = counter;
  writeFile(mount, '/a', pattern(2, 10));
  mount.sync();
  const after = file.copy();
  // The machine stopped before the counter moved: both states are a crash's to leave.
  counter.value = value;
  const survivor = openMount(before, { counter });
  writeFile(survivor, '/a', pattern(3, 10));
  survivor.sync();
  assert.throws(() => openMount(after, { counter }), FileStaleError);
  counter.value = value;
  assert.deepEqual(readFile(openMount(after.copy(), { counter }), '/a'), pattern(2, 10));
  assert.deepEqual(readFile(openMount(after.copy(), { counter }), '/a'), pattern(2, 10));
});

test('F5: the same writes after the same restart are sealed differently', () => {
  const { mount, file } = createMount();
  mount.close();
  const seals = new Set<string>();
  for (let restart = 0; restart < 20; restart++) {
    const copy = file.copy();
    copy.journal = [];
    const again = openMount(copy);
    writeFile(again, '/a', pattern(1, BLOCK));
    again.close();
    for (const step of copy.journal) {
      if (step === 'sync') continue;
      for (let at = 0; at < step.bytes.length; at += BLOCK) {
        const seal = Buffer.from(step.bytes.subarray(at, at + BLOCK)).toString('base64');
        assert.ok(!seals.has(seal));
        seals.add(seal);
      }
    }
  }
});

test('F9: names that are hostile to paths are names, or refused', () => {
  const { mount, file } = createMount();
  for (const bad of ['/a/../b', '..', '/\0', '/a\0b', '/\ud800']) {
    assert.throws(() => mount.open(bad, 'w'), InvalidArgumentError, JSON.stringify(bad));
  }
  assert.throws(() => mount.open(`/${'x'.repeat(256)}`, 'w'), { code: 'ENAMETOOLONG' });
  assert.throws(() => mount.open(`/${'é'.repeat(128)}`, 'w'), { code: 'ENAMETOOLONG' });
  const good = [
    '__proto__',
    'constructor',
    ' ',
    '-rf',
    '*',
    '\\..\\',
    'CON',
    '\n',
    'é',
    'e\u0301',
    '\ufeff',
    'x'.repeat(255),
  ];
  for (const [index, name] of good.entries()) writeFile(mount, `/${name}`, pattern(index, 20));
  mount.close();
  const again = openMount(file);
  assert.deepEqual(
    again
      .readdir('/')
      .map(({ name }) => name)
      .sort(),
    [...good].sort(),
  );
  for (const [index, name] of good.entries())
    assert.deepEqual(readFile(again, `/${name}`), pattern(index, 20));
});

test('F10: neither contents nor names lie in the store, and a name changes nothing of its size', () => {
  const build = (name: string) => {
    const { mount, file } = createMount();
    mount.mkdir(`/${name}`);
    writeFile(mount, `/${name}/${name}`, new TextEncoder().encode('attack at dawn '.repeat(500)));
    mount.close();
    return Buffer.from(file.content);
  };
  const store = build('secret-plans');
  assert.equal(store.includes('secret-plans'), false);
  assert.equal(store.includes('attack at dawn'), false);
  assert.equal(store.length, build('x').length);
});

test('F11: what a frame held before never shows', () => {
  const { mount } = createMount();
  writeFile(mount, '/secret', new Uint8Array(200 * BLOCK).fill(0xaa));
  readFile(mount, '/secret');
  using file = mount.open('/new', 'w+', { writeOnce: true });
  file.write(new Uint8Array([1]), { position: 50 * BLOCK + 7 });
  file.truncate(100 * BLOCK);
  const bytes = new Uint8Array(100 * BLOCK);
  assert.equal(file.read(bytes, { position: 0 }), bytes.length);
  assert.deepEqual(bytes.indexOf(1), 50 * BLOCK + 7);
  bytes[50 * BLOCK + 7] = 0;
  assert.ok(bytes.every((byte) => byte === 0));
  // Cut in the middle of a block and grown again, the rest is zero.
  using secret = mount.open('/secret', 'r+');
  secret.truncate(10);
  secret.truncate(BLOCK);
  const rest = new Uint8Array(BLOCK);
  secret.read(rest, { position: 0 });
  assert.deepEqual(rest.lastIndexOf(0xaa), 9);
});

test('F12: a mapped block stays in its frame while everything else is evicted, and is written in the end', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, 3 * BLOCK));
  writeFile(mount, '/b', pattern(2, 300 * BLOCK));
  using open = mount.open('/a', 'r+');
  const mapping = open.map(BLOCK + 5, { write: true });
  mapping.bytes.fill(1);
  readFile(mount, '/b');
  mount.sync();
  mapping.bytes.fill(2);
  readFile(mount, '/b');
  assert.throws(() => open.truncate(0), { code: 'EBUSY' });
  mapping.unmap();
  mount.close();
  const bytes = readFile(openMount(file), '/a');
  assert.deepEqual(bytes.subarray(BLOCK, 2 * BLOCK), new Uint8Array(BLOCK).fill(2));
  assert.deepEqual(bytes.subarray(0, BLOCK), pattern(1, 3 * BLOCK).subarray(0, BLOCK));
});

test('F12: many reads of one block at once, over a cache that is too small for all', async () => {
  const { mount } = createMount();
  writeFile(mount, '/a', pattern(1, 300 * BLOCK));
  using file = mount.open('/a');
  const whole = pattern(1, 300 * BLOCK);
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const bytes = new Uint8Array(BLOCK);
      const position = ((index >> 1) * 7 * BLOCK) % (300 * BLOCK);
      await file.readAsync(bytes, { position });
      assert.deepEqual(bytes, whole.slice(position, position + BLOCK));
    }),
  );
});

test('F13: a host that only says that it keeps data is found out at the next start', () => {
  const counter = new Counter();
  const { mount, file } = createMount({ counter });
  writeFile(mount, '/a', pattern(1, 10 * BLOCK));
  mount.sync();
  const kept = file.copy();
  file.journal = [];
  writeFile(mount, '/a', pattern(2, 10 * BLOCK));
  mount.sync();
  // Nothing of it was kept: the counter knows better.
  assert.throws(() => openMount(kept.copy(), { counter }), FileStaleError);
  // The root was kept, and not what it leads to.
  const root = file.journal.findLast((step) => step !== 'sync');
  assert.ok(root !== undefined);
  const hollow = kept.copy();
  hollow.put(root.position, root.bytes);
  assert.throws(() => readFile(openMount(hollow, { counter }), '/a'), FileTamperedError);
});

const CHANGES: readonly Change[] = [
  { kind: 'write', path: '/a', position: 0, seed: 1, length: 90 * BLOCK },
  { kind: 'mkdir', path: '/d' },
  { kind: 'write', path: '/d/b', position: 100, seed: 2, length: 5000 },
  { kind: 'rename', path: '/a', to: '/d/a' },
  { kind: 'write', path: '/d/a', position: 30 * BLOCK + 3, seed: 3, length: 40 * BLOCK },
  { kind: 'truncate', path: '/d/a', length: 50 * BLOCK + 1 },
  { kind: 'rename', path: '/d/a', to: '/d/b' },
  { kind: 'write', path: '/c', position: 0, seed: 4, length: 80 * BLOCK },
  { kind: 'unlink', path: '/d/b' },
  { kind: 'rmdir', path: '/d' },
];

for (const code of ['ENOSPC', 'EIO'] as const) {
  test(`F14: ${code} at any write: the change is done whole or not at all, and the mount goes on`, () => {
    const chance = seededRandom(7);
    for (let round = 0; round < 150; round++) {
      const { mount, file } = createMount();
      const model = new Model();
      let left = chance(12);
      let failing = false;
      file.beforeWrite = () => {
        if (left-- <= 0) failing = true;
        if (failing) throw new SystemError(code, -constants.errno[code], 'write');
      };
      for (const change of CHANGES) {
        const before = model.copy();
        const code = applyToModel(model, change);
        const found = apply(mount, change);
        if (!failing) {
          assert.equal(found, code);
          continue;
        }
        failing = false;
        left = Number.POSITIVE_INFINITY;
        settle(mount, model, before, change);
        left = chance(12);
      }
      file.beforeWrite = undefined;
      mount.sync();
      assert.deepEqual(snapshot(mount), model.snapshot());
      assert.deepEqual(snapshot(openMount(file.copy())), model.snapshot());
    }
  });
}

/** After a change that failed: it is whole, or not there; a write may be there in part. Then it is done after all. */
function settle(mount: ProtectedMount, model: Model, before: Model, change: Change): void {
  const files = snapshot(mount);
  const isOld = equal(files, before.snapshot());
  if (change.kind !== 'write') assert.ok(isOld || equal(files, model.snapshot()), change.kind);
  if (isOld || change.kind === 'write') assert.equal(apply(mount, change), '');
  assert.ok(equal(snapshot(mount), model.snapshot()), change.kind);
}

function equal(one: Map<string, string>, other: Map<string, string>): boolean {
  return one.size === other.size && [...one].every(([path, content]) => other.get(path) === content);
}

test('F14: a disk that failed to sync is not trusted again; the mount opens as of the last sync', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, 10));
  mount.sync();
  const before = snapshot(mount);
  const kept = file.copy();
  writeFile(mount, '/a', pattern(2, 10));
  file.beforeSync = () => {
    throw new SystemError('EIO', -constants.errno.EIO, 'fsync');
  };
  assert.throws(() => mount.sync(), { code: 'EIO' });
  file.beforeSync = undefined;
  assert.throws(() => mount.sync(), { code: 'SGXIO_CLOSED' });
  assert.throws(() => writeFile(mount, '/b', pattern(1, 1)), { code: 'SGXIO_CLOSED' });
  assert.deepEqual(readFile(mount, '/a'), pattern(2, 10));
  assert.deepEqual(snapshot(openMount(kept)), before);
  assert.ok(openMount(file.copy()).readdir('/').length === 1);
});

test('F14: damage that is met while space is looked for costs space, and no intact block', () => {
  const { file } = twoFiles();
  const [damaged] = findIndexSlots(file);
  assert.ok(damaged !== undefined);
  file.slot(damaged)[7]! ^= 1;
  const mount = openMount(file);
  writeFile(mount, '/new', pattern(4, 30 * BLOCK));
  mount.sync();
  const again = openMount(file.copy());
  assert.deepEqual(readFile(again, '/new'), pattern(4, 30 * BLOCK));
  const intact = ['/a', '/b'].filter((path) => {
    try {
      return readFile(again, path).length === BLOCKS * BLOCK;
    } catch (error) {
      assert.ok(error instanceof FileTamperedError);
      return false;
    }
  });
  assert.equal(intact.length, 1);
});

/** Slots whose damage makes a file unreadable from its first block on: those of index blocks. */
function findIndexSlots(file: HostFile): number[] {
  const slots: number[] = [];
  for (let slot = ROOT_SLOTS; slot < file.content.length / BLOCK; slot++) {
    const copy = file.copy();
    copy.slot(slot)[7]! ^= 1;
    try {
      const mount = openMount(copy);
      mount.stat('/a');
      mount.stat('/b');
      readFile(mount, '/a');
      readFile(mount, '/b');
    } catch (error) {
      if (error instanceof FileTamperedError && error.message.includes('index of blocks')) slots.push(slot);
    }
  }
  return slots;
}
