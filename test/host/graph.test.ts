import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import type { Enclave, Image } from '../../src/index.ts';
import { GRAPHS_MAX, LAUNCHES_IN_FLIGHT_MAX } from '../../src/limits.ts';
import { until } from '../support/conditions.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import type * as program from './launches.program.ts';

type Program = typeof program;

let image: Image;
before(async () => {
  image = await buildProgram('test/host/launches.program');
});

function graphTest(name: string, run: (enclave: Enclave<Program>) => Promise<void>): void {
  test(name, () => withEnclave<Program>(image, {}, run));
}

describe('graphs', () => {
  graphTest('run what was recorded, in order, with one launch', async (enclave) => {
    const graph = await enclave.capture((recorder) => {
      recorder.launch('step', 'a', 2);
      recorder.launch('note', 'b');
      recorder.launch('step', 'c', 1);
      recorder.launch('add', 1, 2);
    });
    for (let run = 0; run < 3; run++) {
      assert.equal(await graph.launch(), 3);
      assert.deepEqual(await enclave.launch('takeLog'), ['+a', '-a', 'b', '+c', '-c']);
    }
    const stream = enclave.createStream();
    stream.launch('note', 'before');
    stream.launchGraph(graph);
    stream.launch('note', 'after');
    await stream.synchronize();
    assert.deepEqual(await enclave.launch('takeLog'), ['before', '+a', '-a', 'b', '+c', '-c', 'after']);
    await graph.release();
    await assert.rejects(graph.launch(), { innerCode: 'SGXIO_INVALID_ARGUMENT' });
    await assert.rejects(graph.release(), { innerCode: 'SGXIO_INVALID_ARGUMENT' });
  });

  graphTest('stop at a step that fails', async (enclave) => {
    const graph = await enclave.capture((recorder) => {
      recorder.launch('note', 'a');
      recorder.launch('refuse', 'no');
      recorder.launch('note', 'b');
    });
    await assert.rejects(graph.launch(), { innerCode: 'REFUSED' });
    assert.deepEqual(await enclave.launch('takeLog'), ['a']);
  });

  graphTest('hold only what the program exports', async (enclave) => {
    await assert.rejects(
      enclave.capture((recorder) => (recorder as { launch(name: string): void }).launch('missing')),
      { code: 'SGXIO_LAUNCH_REJECTED' },
    );
  });

  graphTest('are refused when a step is no number of a function', async (enclave) => {
    for (const number of ['constructor', 'push', 'length', -1, 0.5, 1e9, null]) {
      const captured = enclave.capture(({ steps }) => steps.push([number as number, []]));
      await assert.rejects(captured, { code: 'SGXIO_LAUNCH_REJECTED' }, String(number));
    }
  });

  graphTest('let each step know its task, and wait for what it started', async (enclave) => {
    const graph = await enclave.capture((recorder) => {
      recorder.launch('family', false);
      recorder.launch('note', 'after the family');
      recorder.launch('echoLater', 'x');
      recorder.launch('family', false);
    });
    assert.equal(await graph.launch(), 'parent');
    assert.deepEqual(await enclave.launch('takeLog'), [
      'child',
      'grandchild',
      'after the family',
      'child',
      'grandchild',
    ]);
    const failing = await enclave.capture((recorder) => {
      recorder.launch('family', true);
      recorder.launch('note', 'after a failure');
    });
    await assert.rejects(failing.launch(), { innerCode: 'REFUSED', message: 'of a child' });
    assert.ok(!(await enclave.launch('takeLog')).includes('after a failure'));
  });
});

describe('a graph that is given up', () => {
  /** Gives a run up, and says how it failed. */
  type GiveUp = (launch: (options: { signal?: AbortSignal; timeout?: number }) => Promise<unknown>) => {
    run: Promise<unknown>;
    now(): void;
  };
  const ways: Readonly<Record<string, GiveUp>> = {
    SGXIO_ABORTED: (launch) => {
      const controller = new AbortController();
      return { run: launch({ signal: controller.signal }), now: () => controller.abort() };
    },
    SGXIO_TIMED_OUT: (launch) => ({ run: launch({ timeout: 50 }), now: () => {} }),
  };
  for (const [code, giveUp] of Object.entries(ways)) {
    graphTest(`ends at the step that runs, and runs again: ${code}`, async (enclave) => {
      const graph = await enclave.capture((recorder) => {
        recorder.launch('step', 'before', 1);
        recorder.launch('wait', 'gate');
        recorder.launch('note', 'after');
      });
      const other = enclave.launch('wait', 'other');
      const stream = enclave.createStream();
      const { run, now } = giveUp((options) => graph.launch(options));
      const behind = stream.launch('wait', 'of a stream');
      let ended = false;
      run.then(
        () => {},
        () => {
          ended = true;
        },
      );
      await until(async () => ended || (await enclave.launch('isWaiting', 'gate')));
      now();
      await assert.rejects(run, { code });
      await until(() => enclave.pendingLaunches === 2);
      // A deadline may come earlier on a busy machine.
      const log = await enclave.launch('takeLog');
      assert.deepEqual(log, ['+before', '-before', 'aborted gate'].slice(0, log.length));
      await enclave.launch('open', 'other');
      await enclave.launch('open', 'of a stream');
      await Promise.all([other, behind, stream.synchronize()]);

      const again = graph.launch();
      await until(() => enclave.launch('isWaiting', 'gate'));
      await enclave.launch('open', 'gate');
      await again;
      assert.deepEqual(await enclave.launch('takeLog'), ['+before', '-before', 'after']);
      await graph.release();
      assert.equal(enclave.pendingLaunches, 0);
    });
  }

  graphTest('with its stream, at every moment: what ran is a beginning of it', async (enclave) => {
    const names = ['a', 'b', 'c', 'd'];
    const graph = await enclave.capture((recorder) => {
      for (const name of names) recorder.launch('step', name, 1);
    });
    const whole = names.flatMap((name) => [`+${name}`, `-${name}`]);
    const cut = new Set<number>();
    for (let turns = 0; turns < 3 * LAUNCHES_IN_FLIGHT_MAX; turns++) {
      const stream = enclave.createStream();
      const run = stream.launchGraph(graph);
      for (let turn = 0; turn < turns % 12; turn++) await new Promise((resolve) => setImmediate(resolve));
      stream.cancel();
      await assert.rejects(stream.synchronize(), { code: 'SGXIO_ABORTED' });
      await run.catch((error: { code: string }) => assert.equal(error.code, 'SGXIO_ABORTED'));
      await until(() => enclave.pendingLaunches === 0);
      const log = await enclave.launch('takeLog');
      assert.deepEqual(log, whole.slice(0, log.length));
      assert.equal(log.length % 2, 0);
      cut.add(log.length);
    }
    assert.ok(cut.size > 1, `all were cut at ${[...cut]}`);
  });
});

describe('nothing is left', () => {
  graphTest('of graphs that were released; of others there is room for so many', async (enclave) => {
    const capture = () => enclave.capture((recorder) => recorder.launch('note', 'a'));
    for (let count = 0; count < 2 * GRAPHS_MAX; count++) await (await capture()).release();
    const kept = await Promise.all(Array.from({ length: GRAPHS_MAX }, capture));
    await assert.rejects(capture(), { innerCode: 'SGXIO_CHANNEL_FULL', message: /release some/ });
    await kept[7]?.release();
    await (await capture()).release();
    await kept[8]?.launch();
    assert.deepEqual(await enclave.launch('takeLog'), ['a']);
    assert.equal(enclave.pendingLaunches, 0);
  });

  graphTest('of launches and graphs that were given up, in the memory of the enclave', async (enclave) => {
    const bytes = new Uint8Array(60_000).fill(1);
    const graph = await enclave.capture((recorder) => recorder.launch('echo', bytes));
    const round = async (): Promise<void> => {
      const all = Array.from({ length: 1000 }, async (_, index) => {
        const controller = new AbortController();
        const options = { signal: controller.signal };
        const launch =
          index % 2 === 0
            ? enclave.launchWith(options, 'wait', `held ${index}`, bytes)
            : graph.launch(options);
        for (let turn = 0; turn < index % 10; turn++) await new Promise((resolve) => setImmediate(resolve));
        controller.abort();
        await launch.catch((error: { code: string }) => assert.equal(error.code, 'SGXIO_ABORTED'));
      });
      await Promise.all(all);
      await until(() => enclave.pendingLaunches === 0);
      await enclave.launch('takeLog');
    };
    await round();
    const start = residentBytes(enclave);
    for (let count = 0; count < 9; count++) await round();
    // Kept arguments alone would be 270 MB.
    assert.ok(residentBytes(enclave) - start < 135_000_000);
    assert.equal(enclave.stats().enclave.arenaBlocks, 0);
  });
});

function residentBytes({ pid }: Enclave<Program>): number {
  const kilobytes = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}
