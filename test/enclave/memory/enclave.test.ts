import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import * as fs from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { privateBytesFor } from '../../../src/enclave/memory/layout.ts';
import { type Enclave, type Image, type ManifestInput, writeImage } from '../../../src/index.ts';
import {
  buildProgram,
  STRATEGIES,
  startEnclave,
  temporaryDirectory,
} from '../../support/service-enclaves.ts';
import { users } from '../../support/users.ts';
import type * as program from './enclave.program.ts';

const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;
const FRAMES = 64;

function build(manifest: Partial<ManifestInput>): Promise<Image> {
  return buildProgram(import.meta.dirname, 'enclave.program.js', {
    privateMemoryBytes: 2 * MEBIBYTE,
    grants: { files: [{ mount: '/scratch', access: 'read-write' }] },
    ...manifest,
  });
}

type Started = Enclave<typeof program>;

for (const strategy of STRATEGIES) {
  describe(`secure memory of an enclave (${strategy})`, () => {
    test('holds many times its private memory in the shared store', async (t) => {
      const image = await build({ storeBytes: 32 * MEBIBYTE });
      const directories = { '/scratch': temporaryDirectory(t) };
      const enclave = (await startEnclave(t, image, { strategy, directories })) as Started;
      await enclave.launch('make', { privateBytes: MEBIBYTE });
      await enclave.launch('allocate', 30 * MEBIBYTE);
      await enclave.launch('fill', 1);
      assert.equal(await enclave.launch('findWrong', 1), -1);
      const { dirtyEvictions, pagesLoaded } = await enclave.launch('counters');
      assert.ok(dirtyEvictions > 7000 && pagesLoaded > 7000, `${dirtyEvictions}, ${pagesLoaded}`);
    });

    test('serves every container', async (t) => {
      const image = await build({ storeBytes: 8 * MEBIBYTE });
      const directories = { '/scratch': temporaryDirectory(t) };
      const enclave = (await startEnclave(t, image, { strategy, directories })) as Started;
      const privateBytes = privateBytesFor(FRAMES, 8 * MEBIBYTE);
      await enclave.launch('make', { privateBytes, policy: 'clock' });
      assert.deepEqual(await enclave.launch('useContainers'), {
        sorted: true,
        map: true,
        numbers: true,
        blob: true,
      });
    });

    test('keeps 10 GB in a file of the host, of which each page is sealed', async (t) => {
      const image = await build({});
      const scratch = temporaryDirectory(t);
      const enclave = (await startEnclave(t, image, {
        strategy,
        directories: { '/scratch': scratch },
      })) as Started;
      const storeBytes = 10 * GIBIBYTE;
      await enclave.launch('make', { privateBytes: MEBIBYTE, store: '/scratch/pages', storeBytes });
      await enclave.launch('allocate', 9.5 * GIBIBYTE);
      await enclave.launch('fill', 4999);
      await enclave.launch('evict');
      assert.equal(await enclave.launch('findWrong', 4999), -1);
      const status = fs.statSync(join(scratch, 'pages'));
      assert.ok(status.size > 9 * GIBIBYTE && status.blocks * 512 < 64 * MEBIBYTE);
      assert.equal(status.mode & 0o777, 0o600);
    });

    test('says which page of a file was changed, and reads nothing more', async (t) => {
      const image = await build({});
      const scratch = temporaryDirectory(t);
      const enclave = (await startEnclave(t, image, {
        strategy,
        directories: { '/scratch': scratch },
      })) as Started;
      const storeBytes = 4 * MEBIBYTE;
      await enclave.launch('make', { privateBytes: MEBIBYTE, store: '/scratch/pages', storeBytes });
      const address = await enclave.launch('allocate', 3 * MEBIBYTE);
      await enclave.launch('fill', 1);
      await enclave.launch('evict');
      const page = address / 4096 + 5;
      const descriptor = fs.openSync(join(scratch, 'pages'), 'r+');
      // Behind the two pages of the versions.
      fs.writeSync(descriptor, new Uint8Array(1), 0, 1, (page + 2) * 4160 + 7);
      fs.closeSync(descriptor);
      assert.equal(await enclave.launch('read', 4), 5);
      const tampered = { innerCode: 'SGXIO_PAGE_TAMPERED', message: new RegExp(`page ${page + 2} of`) };
      await assert.rejects(enclave.launch('read', 5), tampered);
      await assert.rejects(enclave.launch('read', 6), tampered);
      assert.equal(await enclave.launch('read', 4), 5);
    });

    for (const store of ['shared', '/scratch/pages']) {
      test(`gives two threads one heap (${store})`, async (t) => {
        const image = await build({ storeBytes: 8 * MEBIBYTE, threads: 2 });
        const directories = { '/scratch': temporaryDirectory(t) };
        const enclave = (await startEnclave(t, image, { strategy, directories })) as Started;
        const privateBytes = privateBytesFor(FRAMES, 8 * MEBIBYTE);
        const options = { privateBytes, store, storeBytes: 8 * MEBIBYTE };
        const both = [0, 1].map((thread) => ({ thread }));
        await Promise.all(both.map((on) => enclave.launchWith(on, 'join', 'one', options)));
        const address = await enclave.launchWith({ thread: 0 }, 'allocate', MEBIBYTE);
        await enclave.launchWith({ thread: 1 }, 'find', address);
        const sums = await Promise.all(both.map((on) => enclave.launchWith(on, 'count', 20_000)));
        assert.deepEqual(sums, [20_000, 20_000]);
        const { frames, dirtyEvictions } = await enclave.launchWith({ thread: 1 }, 'counters');
        assert.ok(frames < 256 && dirtyEvictions > 256, `${dirtyEvictions} from ${frames} frames`);
      });
    }
  });
}

test('a heap in a file outlives the workers that serve it, and loses nothing', async (t) => {
  const workers: Worker[] = [];
  const onStart = (message: unknown): void => void workers.push((message as { thread: Worker }).thread);
  subscribe('sgxio:worker:start', onStart);
  t.after(() => unsubscribe('sgxio:worker:start', onStart));
  const directories = { '/scratch': temporaryDirectory(t) };
  const enclave = (await startEnclave(t, await build({}), { directories })) as Started;
  const storeBytes = 32 * MEBIBYTE;
  await enclave.launch('make', {
    privateBytes: MEBIBYTE,
    store: '/scratch/pages',
    storeBytes,
    freeFrames: 32,
  });
  await enclave.launch('allocate', 30 * MEBIBYTE);
  await enclave.launch('fill', 1);
  for (let death = 1; death <= 3; death++) {
    const work = enclave.launch('fill', 1);
    await workers.at(-1)!.terminate();
    // What was under way when the worker died fails, and is known to.
    await work.catch((error: { code: string }) => assert.equal(error.code, 'SGXIO_LAUNCH_FAILED'));
    assert.equal(await enclave.launch('findWrong', 1), -1);
    assert.equal(enclave.stats().workerDeaths, death);
  }
  const { dirtyEvictions } = await enclave.launch('counters');
  assert.ok(dirtyEvictions > 4 * 7000, `${dirtyEvictions}`);
});

test('a heap that does not fit is refused with what to ask for', async (t) => {
  const image = await build({ storeBytes: MEBIBYTE });
  const directories = { '/scratch': temporaryDirectory(t) };
  const enclave = (await startEnclave(t, image, { directories })) as Started;
  const refuse = (options: object, message: RegExp) =>
    assert.rejects(enclave.launch('make', options as Parameters<typeof program.make>[0]), message);
  await refuse({ privateBytes: 1000 }, /a multiple of 4096/);
  await refuse({ privateBytes: 64 * MEBIBYTE }, /privateMemoryBytes in the image/);
  await refuse({ privateBytes: MEBIBYTE, storeBytes: 2 * MEBIBYTE }, /storeBytes in the image/);
  await refuse({ privateBytes: 4096 }, /too small for a heap/);
});

test('more private memory than a user may lock is refused with the limit to raise', async (t) => {
  const folder = temporaryDirectory(t);
  const [file, script] = [join(folder, 'large.sgxio'), join(folder, 'host.mjs')];
  await writeImage(file, await build({ privateMemoryBytes: 256 * MEBIBYTE, grants: {} }));
  fs.chmodSync(folder, 0o755);
  const host = new URL('../../../src/index.js', import.meta.url).href;
  const program = `import { Enclave, readImage } from ${JSON.stringify(host)};
    try {
      const enclave = await Enclave.create(await readImage(process.argv[2]), { startTimeout: 60_000 });
      await enclave.stop();
    } catch (error) {
      console.log(error.code, error.message);
    }`;
  fs.writeFileSync(script, program);
  // Root may lock what it likes, and so may a user whose limit is as high.
  for (const user of users().filter(({ name }) => name !== 'root')) {
    const options = { ...user, cwd: '/', encoding: 'utf8' } as const;
    const limited = spawnSync(
      'sh',
      ['-c', 'ulimit -l 8192; exec "$@"', 'sh', process.execPath, script, file],
      options,
    );
    assert.match(limited.stdout, /^SGXIO_LOCKED_MEMORY_LIMIT .*ulimit -l 262144/, limited.stderr);
  }
});
