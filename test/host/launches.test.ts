import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  type Enclave,
  type EnclaveOptions,
  type Image,
  type LaunchError,
  SharedWords,
  sharedWordsBytes,
} from '../../src/index.ts';
import { LAUNCH_PAYLOAD_MAX, LAUNCHES_IN_FLIGHT_MAX, LAUNCHES_QUEUED_MAX } from '../../src/limits.ts';
import { until } from '../support/conditions.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import type * as program from './launches.program.ts';

type Program = typeof program;

let image: Image;
before(async () => {
  image = await buildProgram('test/host/launches.program');
});

function enclaveTest(
  name: string,
  run: (enclave: Enclave<Program>) => Promise<void>,
  options: EnclaveOptions = {},
): void {
  test(name, () => withEnclave<Program>(image, options, run));
}

/** A launch of what the types do not allow. */
function launchAnything(enclave: Enclave<Program>, name: string, ...values: unknown[]): Promise<unknown> {
  return (enclave as unknown as Enclave).launch(name, ...values);
}

const PINNED: EnclaveOptions = { pinnedBytes: 4_194_304 };

/** Keeps the enclave's thread from looking for launches until it is let go. */
function holdThread(enclave: Enclave<Program>): { readonly held: Promise<void>; letGo(): void } {
  const memory = enclave.pin(sharedWordsBytes(1));
  const words = new SharedWords(memory.bytes, [0]);
  words.store(0, 0);
  const held = enclave.launch('holdThread', { offset: memory.offset, bytes: memory.bytes.length });
  return { held, letGo: () => words.store(0, 1) };
}

describe('values', () => {
  const VALUES = [
    undefined,
    null,
    -0,
    1.5,
    2n ** 70n,
    'text',
    Float64Array.of(1, 2),
    [1, [2]],
    { key: { inner: [] } },
    new Uint8Array(LAUNCH_PAYLOAD_MAX - 16).fill(7),
  ];

  enclaveTest('arguments and results come back as they went', async (enclave) => {
    for (const value of VALUES) assert.deepEqual(await enclave.launch('echo', value), value);
    for (const value of VALUES) assert.deepEqual(enclave.launchSync('echo', value), value);
    assert.equal(await enclave.launch('nothing'), undefined);
    assert.equal(enclave.launchSync('nothing'), undefined);
  });

  for (const strategy of ['exit', 'direct'] as const) {
    enclaveTest(
      `under ${strategy} too`,
      async (enclave) => {
        assert.deepEqual(await enclave.launch('echo', 1, 'two'), [1, 'two']);
        assert.equal(enclave.launchSync('echo', 3), 3);
        assert.equal(await enclave.launch('echoLater', 'later'), 'later');
      },
      { strategy },
    );
  }

  enclaveTest('a result too large is an error of the launch', async (enclave) => {
    await assert.rejects(enclave.launch('large', LAUNCH_PAYLOAD_MAX + 1), {
      code: 'SGXIO_LAUNCH_FAILED',
      innerCode: 'SGXIO_ENCODING_INVALID',
    });
    assert.equal(await enclave.launch('echo', 1), 1);
  });

  enclaveTest('what cannot cross is refused before it is sent', async (enclave) => {
    let deep: unknown = 1;
    for (let depth = 0; depth < 80; depth++) deep = [deep];
    const bad = [
      () => {},
      Symbol('s'),
      deep,
      new Uint8Array(LAUNCH_PAYLOAD_MAX),
      JSON.parse('{"__proto__": 1}'),
      { constructor: 1 },
      new Date(),
    ];
    for (const value of bad) {
      await assert.rejects(enclave.launch('echo', value), { code: 'SGXIO_ENCODING_INVALID' });
      assert.throws(() => enclave.launchSync('echo', value), { code: 'SGXIO_ENCODING_INVALID' });
    }
    assert.equal(enclave.pendingLaunches, 0);
  });
});

describe('what is refused', () => {
  enclaveTest('a name that the program does not export, and one that is no function', async (enclave) => {
    for (const name of ['missing', '__proto__', 'constructor', 'toString', '']) {
      await assert.rejects(launchAnything(enclave, name), { code: 'SGXIO_LAUNCH_REJECTED' });
    }
    await assert.rejects(launchAnything(enclave, 'version'), { code: 'SGXIO_LAUNCH_REJECTED' });
  });

  enclaveTest('arguments that a schema does not take, and too many of them', async (enclave) => {
    assert.equal(await enclave.launch('add', 1, 2), 3);
    assert.equal(await enclave.launch('add', 1), 2);
    for (const values of [[], ['1', 2], [1, 2, 3], [1, null]]) {
      await assert.rejects(launchAnything(enclave, 'add', ...values), { code: 'SGXIO_LAUNCH_REJECTED' });
    }
    await assert.rejects(launchAnything(enclave, 'add', 'x'), /arguments\[0\]: .*number/);
  });

  enclaveTest('an unknown priority or thread', async (enclave) => {
    const priority = 'urgent' as 'high';
    await assert.rejects(enclave.launchWith({ priority }, 'nothing'), { code: 'SGXIO_INVALID_ARGUMENT' });
    await assert.rejects(enclave.launchWith({ thread: 1 }, 'nothing'), { code: 'SGXIO_INVALID_ARGUMENT' });
  });
});

enclaveTest('of an error its name, code and message cross, and nothing else', async (enclave) => {
  const error = await enclave.launch('refuse', 'not today').catch((reason: unknown) => reason as LaunchError);
  assert.ok(error instanceof Error);
  const { name, code, message, innerName, innerCode } = error;
  assert.deepEqual(
    { name, code, message, innerName, innerCode },
    {
      name: 'LaunchError',
      code: 'SGXIO_LAUNCH_FAILED',
      message: 'not today',
      innerName: 'Refusal',
      innerCode: 'REFUSED',
    },
  );
  assert.ok(!('secret' in error));
  assert.doesNotMatch(error.stack ?? '', /launches\.program/);
  await assert.rejects(enclave.launch('throwText'), { code: 'SGXIO_LAUNCH_FAILED', innerName: 'Error' });
  assert.throws(() => enclave.launchSync('refuse', 'now'), { innerCode: 'REFUSED' });
});

describe('giving up', () => {
  enclaveTest('a signal ends a launch that runs, and its task hears of it', async (enclave) => {
    const controller = new AbortController();
    const launch = enclave.launchWith({ signal: controller.signal }, 'wait', 'a');
    await until(() => enclave.launch('isWaiting', 'a'));
    controller.abort(new Error('enough'));
    await assert.rejects(launch, { code: 'SGXIO_ABORTED', cause: controller.signal.reason });
    await until(() => enclave.pendingLaunches === 0);
    assert.deepEqual(await enclave.launch('takeLog'), ['aborted a']);
  });

  enclaveTest('a signal that is aborted already launches nothing', async (enclave) => {
    await assert.rejects(enclave.launchWith({ signal: AbortSignal.abort() }, 'note', 'x'), {
      code: 'SGXIO_ABORTED',
    });
    assert.deepEqual(await enclave.launch('takeLog'), []);
  });

  enclaveTest(
    'a deadline ends one that runs, and one that waits is never run',
    async (enclave) => {
      await assert.rejects(enclave.launchWith({ timeout: 20 }, 'wait', 'a'), { code: 'SGXIO_TIMED_OUT' });
      const { held, letGo } = holdThread(enclave);
      await assert.rejects(enclave.launchWith({ timeout: 1 }, 'note', 'late'), { code: 'SGXIO_TIMED_OUT' });
      letGo();
      await held;
      await until(() => enclave.pendingLaunches === 0);
      assert.ok(!(await enclave.launch('takeLog')).includes('late'));
    },
    PINNED,
  );

  enclaveTest(
    'at every moment: what is given up is answered once, and its slot is used again',
    async (enclave) => {
      for (let round = 0; round < 3 * LAUNCHES_IN_FLIGHT_MAX; round++) {
        const controller = new AbortController();
        const launch = enclave.launchWith({ signal: controller.signal }, 'echoLater', String(round));
        const settled = launch.then(
          (value) => assert.equal(value, String(round)),
          (error: { code: string }) => assert.equal(error.code, 'SGXIO_ABORTED'),
        );
        for (let turn = 0; turn < round % 40; turn++) await null;
        controller.abort();
        await settled;
      }
      await until(() => enclave.pendingLaunches === 0);
    },
  );
});

describe('the queue', () => {
  enclaveTest('any number of launches is answered, each with its own result', async (enclave) => {
    const count = 10 * LAUNCHES_IN_FLIGHT_MAX;
    const launches = Array.from({ length: count }, (_, index) => enclave.launch('echo', index));
    assert.deepEqual(
      await Promise.all(launches),
      Array.from({ length: count }, (_, index) => index),
    );
  });

  enclaveTest(
    'of launches that wait the higher priority runs first, and within one the first',
    async (enclave) => {
      const { held, letGo } = holdThread(enclave);
      const launches: Promise<void>[] = [];
      for (const priority of ['low', 'normal', 'high'] as const) {
        for (let index = 0; index < 3; index++) {
          launches.push(enclave.launchWith({ priority }, 'note', `${priority} ${index}`));
        }
      }
      letGo();
      await Promise.all([held, ...launches]);
      assert.deepEqual(
        await enclave.launch('takeLog'),
        ['high', 'normal', 'low'].flatMap((priority) => [0, 1, 2].map((index) => `${priority} ${index}`)),
      );
    },
    PINNED,
  );

  enclaveTest(
    'it is bounded, and says when there is room',
    async (enclave) => {
      const { held, letGo } = holdThread(enclave);
      const launches = [held];
      const accepted = LAUNCHES_IN_FLIGHT_MAX + LAUNCHES_QUEUED_MAX;
      for (let index = 1; index < accepted; index++) launches.push(enclave.launch('nothing'));
      await assert.rejects(enclave.launch('nothing'), { code: 'SGXIO_CHANNEL_FULL' });
      letGo();
      await enclave.launchRoom();
      launches.push(enclave.launch('nothing'));
      await Promise.all(launches);
    },
    PINNED,
  );

  enclaveTest('a launch runs while another waits, also one from its outcome', async (enclave) => {
    const outer = enclave.launch('wait', 'outer', 1);
    await until(() => enclave.launch('isWaiting', 'outer'));
    assert.equal(enclave.launchSync('echo', 2), 2);
    await enclave.launch('open', 'outer');
    assert.deepEqual(await outer.then(() => enclave.launch('echo', 3)), 3);
  });
});

describe('the end', () => {
  enclaveTest('pending launches and later ones fail with what ended it', async (enclave) => {
    const pending = assert.rejects(enclave.launch('wait', 'x'), { code: 'SGXIO_ENCLAVE_STOPPED' });
    const stopping = enclave.stop();
    const during = assert.rejects(enclave.launch('wait', 'y'), { code: 'SGXIO_ENCLAVE_STOPPED' });
    assert.deepEqual(await stopping, { code: 0, signal: null });
    await Promise.all([pending, during]);
    await assert.rejects(enclave.launch('nothing'), { code: 'SGXIO_ENCLAVE_STOPPED' });
    assert.throws(() => enclave.launchSync('nothing'), { code: 'SGXIO_ENCLAVE_STOPPED' });
    await enclave.launchRoom();
  });

  enclaveTest('drain lets what was accepted end, and accepts no more', async (enclave) => {
    const launches = Array.from({ length: 2 * LAUNCHES_IN_FLIGHT_MAX }, (_, index) =>
      enclave.launch('echo', index),
    );
    const held = enclave.launch('computeWithPauses', 20);
    const drained = enclave.drain(60_000);
    await assert.rejects(enclave.launch('nothing'), { code: 'SGXIO_ENCLAVE_STOPPED' });
    await Promise.all([...launches, held]);
    assert.deepEqual(await drained, { code: 0, signal: null });
  });

  enclaveTest('drain does not wait for ever', async (enclave) => {
    const pending = assert.rejects(enclave.launch('wait', 'x'), { code: 'SGXIO_ENCLAVE_STOPPED' });
    await enclave.drain(10);
    await pending;
  });

  enclaveTest('a synchronous launch notices that the enclave was killed', async (enclave) => {
    const pending = assert.rejects(enclave.launch('compute', 1e9), { code: 'SGXIO_ENCLAVE_STOPPED' });
    enclave.kill();
    assert.throws(() => enclave.launchSync('nothing'), { code: 'SGXIO_ENCLAVE_STOPPED' });
    await pending;
  });
});

describe('tasks', () => {
  enclaveTest('a launch ends when all that it spawned has', async (enclave) => {
    assert.equal(await enclave.launch('family', false), 'parent');
    assert.deepEqual(await enclave.launch('takeLog'), ['child', 'grandchild']);
  });

  enclaveTest('a child that fails cancels the others and fails the launch', async (enclave) => {
    await assert.rejects(enclave.launch('family', true), { innerCode: 'REFUSED', message: 'of a child' });
    assert.ok((await enclave.launch('takeLog')).includes('sibling cancelled'));
  });

  enclaveTest('a task that ended starts nothing, and after an await none is known', async (enclave) => {
    await enclave.launch('spawnTooLate');
    let log: string[] = [];
    await until(async () => {
      log = [...log, ...(await enclave.launch('takeLog'))];
      return log.length > 0;
    });
    assert.deepEqual(log, ['SGXIO_INVALID_ARGUMENT']);
    await assert.rejects(enclave.launch('currentTooLate'), { innerCode: 'SGXIO_INVALID_ARGUMENT' });
  });

  enclaveTest('one that yields lets others run', async (enclave) => {
    const long = enclave.launch('computeWithPauses', 60_000);
    for (let index = 0; index < 100; index++) assert.equal(await enclave.launch('echo', index), index);
    const ended = assert.rejects(long, { code: 'SGXIO_ENCLAVE_STOPPED' });
    await enclave.stop();
    await ended;
  });
});

test('a task that computes for too long is reported, once while it lasts', async () => {
  const reports: unknown[] = [];
  const longTasks = { milliseconds: 20, report: (task: unknown) => reports.push(task) };
  await withEnclave<Program>(image, { longTasks }, async (enclave) => {
    await enclave.launch('computeWithPauses', 100);
    const long = assert.rejects(enclave.launch('compute', 1e9), { code: 'SGXIO_ENCLAVE_STOPPED' });
    await until(() => reports.length > 0);
    const [{ thread, milliseconds, functions }] = reports as [
      { thread: number; milliseconds: number; functions: string[] },
    ];
    assert.deepEqual({ thread, functions }, { thread: 0, functions: ['compute'] });
    assert.ok(milliseconds >= 20);
    enclave.kill();
    await long;
    assert.equal(reports.length, 1);
  });
});
