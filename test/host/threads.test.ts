import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Image, Strategy } from '../../src/index.ts';
import { THREADS_MAX } from '../../src/limits.ts';
import { until } from '../support/conditions.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import type * as program from './launches.program.ts';

type Program = typeof program;

const THREADS = 3;

let image: Image;
before(async () => {
  image = await buildProgram('test/host/launches.program', { threads: THREADS });
});

for (const strategy of ['exitless', 'exit', 'direct'] satisfies Strategy[]) {
  describe(strategy, () => {
    test('each thread runs launches and makes calls of its own', async () => {
      await withEnclave<Program>(image, { strategy }, async (enclave) => {
        assert.equal(enclave.threads, THREADS);
        for (let thread = 0; thread < THREADS; thread++) {
          assert.deepEqual(await enclave.launchWith({ thread }, 'thread'), { index: thread, count: THREADS });
          assert.equal(await enclave.launchWith({ thread }, 'callBetween', thread), thread);
        }
      });
    });
  });
}

test('module state is of a thread, a shared region of the enclave', async () => {
  await withEnclave<Program>(image, {}, async (enclave) => {
    const rounds = 20_000;
    const threads = Array.from({ length: THREADS }, (_, thread) => thread);
    for (const thread of threads) {
      assert.equal(await enclave.launchWith({ thread }, 'countMine'), 1);
    }
    await Promise.all(threads.map((thread) => enclave.launchWith({ thread }, 'countOurs', rounds)));
    assert.equal(await enclave.launch('countOurs', 0), THREADS * rounds);
  });
});

test('launches go to the thread with the fewest', async () => {
  await withEnclave<Program>(image, {}, async (enclave) => {
    const held = ['a', 'b', 'c', 'd'].map((name) => enclave.launch('wait', name));
    const waiting = await Promise.all(
      Array.from({ length: THREADS }, (_, thread) =>
        Promise.all(['a', 'b', 'c', 'd'].map((name) => enclave.launchWith({ thread }, 'isWaiting', name))),
      ),
    );
    assert.deepEqual(waiting, [
      [true, false, false, true],
      [false, true, false, false],
      [false, false, true, false],
    ]);
    const ended = Promise.allSettled(held);
    await enclave.stop();
    for (const outcome of await ended) assert.equal(outcome.status, 'rejected');
  });
});

test('one that computes does not hold the others', async () => {
  await withEnclave<Program>(image, {}, async (enclave) => {
    const long = assert.rejects(enclave.launchWith({ thread: 1 }, 'compute', 1e9), {
      code: 'SGXIO_ENCLAVE_STOPPED',
    });
    for (let index = 0; index < 100; index++) assert.equal(await enclave.launch('echo', index), index);
    await enclave.stop();
    await long;
  });
});

test('the death of a thread fails its launches, with the reason, and no others', async () => {
  await withEnclave<Program>(image, {}, async (enclave) => {
    const other = enclave.launchWith({ thread: 2 }, 'wait', 'other', 'unharmed');
    const dying = [
      enclave.launchWith({ thread: 1 }, 'dieLater'),
      enclave.launchWith({ thread: 1 }, 'wait', 'never'),
    ];
    for (const launch of dying) {
      await assert.rejects(launch, { code: 'SGXIO_THREAD_FAILED', message: /thread 1.*nobody catches this/ });
    }
    await assert.rejects(enclave.launchWith({ thread: 1 }, 'nothing'), { code: 'SGXIO_THREAD_FAILED' });
    for (let index = 0; index < 20; index++) {
      assert.notEqual((await enclave.launch('thread')).index, 1);
    }
    await enclave.launchWith({ thread: 2 }, 'open', 'other');
    assert.deepEqual(await other, ['unharmed']);
    await until(() => enclave.pendingLaunches === 0);
    assert.deepEqual(await enclave.drain(), { code: 0, signal: null });
  });
});

test('the death of the first thread ends the enclave, with the reason', async () => {
  await withEnclave<Program>(image, {}, async (enclave) => {
    const launches = [
      enclave.launchWith({ thread: 0 }, 'dieLater'),
      enclave.launchWith({ thread: 2 }, 'wait', 'never'),
    ];
    for (const launch of launches) {
      await assert.rejects(launch, { code: 'SGXIO_ENCLAVE_FAILED', message: /nobody catches this/ });
    }
  });
});

test(`there are ${THREADS_MAX} at most`, async () => {
  const many = await buildProgram('test/host/launches.program', { threads: THREADS_MAX });
  await withEnclave<Program>(many, { startTimeout: 60_000 }, async (enclave) => {
    const thread = THREADS_MAX - 1;
    assert.deepEqual(await enclave.launchWith({ thread }, 'thread'), { index: thread, count: THREADS_MAX });
  });
});
