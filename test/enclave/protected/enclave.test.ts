import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { initMount } from '../../../src/cli/mounts.ts';
import { deriveMountKey } from '../../../src/enclave/protected/keys.ts';
import type { Enclave } from '../../../src/index.ts';
import {
  buildProgram,
  STRATEGIES,
  startEnclave,
  temporaryDirectory,
} from '../../support/service-enclaves.ts';
import { pattern } from './support.ts';

const SECRET = pattern(42, 32);
const manifest = {
  grants: {
    files: [
      { mount: '/data', access: 'read-write', protected: true },
      { mount: '/plain', access: 'read-write' },
    ],
  },
  privateMemoryBytes: 2_097_152,
} as const;
const image = await buildProgram(import.meta.dirname, 'enclave.program.js', manifest);
const threadedImage = await buildProgram(import.meta.dirname, 'enclave.program.js', {
  ...manifest,
  threads: 2,
});

interface Started {
  readonly enclave: Enclave;
  readonly data: string;
  readonly plain: string;
}

async function start(
  t: TestContext,
  strategy: (typeof STRATEGIES)[number],
  data = created(t),
): Promise<Started> {
  const plain = temporaryDirectory(t);
  const enclave = await startEnclave(t, image, {
    strategy,
    directories: { '/data': data, '/plain': plain },
    fileSecret: SECRET,
  });
  return { enclave, data, plain };
}

function created(t: TestContext): string {
  const directory = temporaryDirectory(t);
  initMount(directory, deriveMountKey(SECRET, '/data'));
  return directory;
}

for (const strategy of STRATEGIES) {
  describe(strategy, () => {
    test('a program keeps files from the host by its manifest alone', async (t) => {
      const { enclave, data, plain } = await start(t, strategy);
      await enclave.launch('put', '/data/note', 'attack at dawn');
      await enclave.launch('put', '/plain/note', 'attack at dawn');
      assert.equal(await enclave.launch('get', '/data/note'), 'attack at dawn');
      await enclave.launch('putAsync', '/data/other', 'at noon'.repeat(8000));
      assert.equal(await enclave.launch('getAsync', '/data/other'), 'at noon'.repeat(8000));
      assert.equal(readFileSync(join(plain, 'note'), 'utf8'), 'attack at dawn');
      assert.deepEqual(readdirSync(data), ['files.sgxio']);
      const store = readFileSync(join(data, 'files.sgxio'));
      assert.equal(store.includes('attack') || store.includes('note') || store.includes('at noon'), false);
      await enclave.stop();
      const again = await start(t, strategy, data);
      assert.equal(await again.enclave.launch('get', '/data/note'), 'attack at dawn');
    });

    test('a file that is much larger than the cache is read in order', async (t) => {
      const { enclave } = await start(t, strategy);
      for (const chunk of [4096, 65_536, 100_000, 1_048_576]) {
        assert.equal(await enclave.launch('scan', '/data/large', 6_000_000, chunk), 'right');
      }
      // Pieces that were read early wait for somebody who asks for them, but not more than a few.
      const { arenaBlocks, inFlight } = enclave.stats().enclave;
      assert.ok(arenaBlocks <= 16 && inFlight <= 16, `${arenaBlocks} blocks, ${inFlight} calls`);
    });

    test('names work as on a plain mount, but for links', async (t) => {
      const { enclave } = await start(t, strategy);
      assert.deepEqual(await enclave.launch('names', '/data'), await enclave.launch('names', '/plain'));
      assert.equal(await enclave.launch('refused', 'link', '/data/b/z', '/data/l'), 'EPERM');
      assert.equal(await enclave.launch('refused', 'symlink', 'b', '/data/l'), 'EPERM');
      assert.equal(await enclave.launch('refused', 'readlink', '/data/b/z'), 'EINVAL');
      assert.equal(await enclave.launch('refused', 'rename', '/data/b/z', '/plain/z'), 'EXDEV');
      assert.equal(await enclave.launch('refused', 'rename', '/plain/b/z', '/data/z'), 'EXDEV');
      assert.equal(await enclave.launch('refused', 'stat', '/data/none'), 'ENOENT');
    });
  });
}

describe('threads of one enclave', () => {
  for (const strategy of STRATEGIES) {
    test(`share a mount: what one writes, the others read at once (${strategy})`, async (t) => {
      const data = created(t);
      const enclave = await startThreads(t, strategy, data);
      const [one, two] = [on(enclave, 0), on(enclave, 1)];
      await one('put', '/data/a', 'from the first');
      await one('write', '/data/b', 'not yet durable');
      assert.equal(await two('get', '/data/b'), 'not yet durable');
      await two('putAsync', '/data/b', 'from the second');
      assert.equal(await one('get', '/data/b'), 'from the second');
      await one('put', '/data/number', '0');
      await Promise.all([one('addUnderLock', '/data/number', 40), two('addUnderLock', '/data/number', 40)]);
      assert.equal(await two('get', '/data/number'), '80');
      await enclave.stop();
      const again = await startThreads(t, strategy, data);
      assert.equal(await on(again, 1)('get', '/data/number'), '80');
    });
  }

  test('wait for the lock of a file that another thread has', async (t) => {
    const enclave = await startThreads(t, 'exitless', created(t));
    const [one, two] = [on(enclave, 0), on(enclave, 1)];
    await one('put', '/data/a', 'x');
    await one('hold', '/data/a');
    assert.equal(await one('waitFor', '/data/a', 5), 'EDEADLK');
    assert.equal(await two('waitFor', '/data/a', 5), 'ETIMEDOUT');
    const waiting = two('waitFor', '/data/a', 60_000);
    await one('letGo', 20);
    assert.equal(await waiting, 'locked');
  });

  test('need one key for a mount', async (t) => {
    const data = temporaryDirectory(t);
    initMount(data, new Uint8Array(32).fill(5));
    const enclave = await startThreads(t, 'exitless', data);
    const [one, two] = [on(enclave, 0), on(enclave, 1)];
    assert.match(await one('protectWith', '/data', 4), /the key is another one/);
    assert.equal(await one('protectWith', '/data', 5), 'open');
    await one('put', '/data/a', 'x');
    assert.match(await two('protectWith', '/data', 4), /give the same on every thread/);
    // Once it is open, a thread that does not say otherwise has the key of the one that opened it.
    assert.equal(await two('get', '/data/a'), 'x');
  });
});

async function startThreads(
  t: TestContext,
  strategy: (typeof STRATEGIES)[number],
  data: string,
): Promise<Enclave> {
  return await startEnclave(t, threadedImage, {
    strategy,
    directories: { '/data': data, '/plain': data },
    fileSecret: SECRET,
  });
}

function on(
  enclave: Enclave,
  thread: number,
): (name: string, ...given: (string | number)[]) => Promise<string> {
  return async (name, ...given) => (await enclave.launchWith({ thread }, name, ...given)) as string;
}

test('killed in the middle of its writes, an enclave leaves a file that is whole', async (t) => {
  const data = created(t);
  const store = join(data, 'files.sgxio');
  for (let round = 0; round < 5; round++) {
    const { enclave } = await start(t, 'exitless', data);
    if (round === 0) await enclave.launch('put', '/data/file', 'aaa');
    assert.equal(await enclave.launch('reopen', '/data/file'), 'whole');
    const before = statSync(store).mtimeMs;
    const endless = enclave.launch('writeOnAndOn', '/data/file', 300_000);
    endless.catch(() => {});
    while (statSync(store).mtimeMs < before + 20) await new Promise((resolve) => setTimeout(resolve, 2));
    enclave.kill();
    await enclave.exited;
  }
});

test('without the right secret, with a store in use, or without one, the error says what to do', async (t) => {
  const data = created(t);
  const wrong = await startEnclave(t, image, {
    directories: { '/data': data, '/plain': data },
    fileSecret: pattern(1, 32),
  });
  await assert.rejects(wrong.launch('get', '/data/x'), /no root record opens: the key is another one/);
  const none = await startEnclave(t, image, { directories: { '/data': data, '/plain': data } });
  await assert.rejects(none.launch('get', '/data/x'), /start the enclave with a fileSecret/);
  const empty = await start(t, 'exitless', temporaryDirectory(t));
  await assert.rejects(empty.enclave.launch('get', '/data/x'), /sgxio files init/);
  const one = await start(t, 'exitless', data);
  await one.enclave.launch('put', '/data/x', 'x');
  const other = await start(t, 'exitless', data);
  await assert.rejects(other.enclave.launch('get', '/data/x'), /is open already/);
});
