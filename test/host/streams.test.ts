import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { before, describe, test } from 'node:test';
import type { Enclave, Image, Stream } from '../../src/index.ts';
import { LAUNCHES_IN_FLIGHT_MAX } from '../../src/limits.ts';
import { until } from '../support/conditions.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import type * as program from './launches.program.ts';

type Program = typeof program;

let image: Image;
let twoThreads: Image;
before(async () => {
  image = await buildProgram('test/host/launches.program');
  twoThreads = await buildProgram('test/host/launches.program', { threads: 2 });
});

function streamTest(name: string, run: (enclave: Enclave<Program>) => Promise<void>): void {
  test(name, () => withEnclave<Program>(image, {}, run));
}

const FAILED = { code: 'SGXIO_STREAM_FAILED' };

describe('streams', () => {
  streamTest('overlap: one that waits does not hold another', async (enclave) => {
    const [first, second] = [enclave.createStream(), enclave.createStream()];
    const held = first.launch('wait', 'held');
    const behind = first.launch('note', 'behind');
    assert.equal(await second.launch('echo', 1), 1);
    await until(() => enclave.launch('isWaiting', 'held'));
    assert.deepEqual([first.query(), second.query()], [false, true]);
    assert.deepEqual(await enclave.launch('takeLog'), []);
    await second.launch('open', 'held');
    await Promise.all([held, behind]);
    await first.synchronize();
    assert.ok(first.query());
    assert.deepEqual(await enclave.launch('takeLog'), ['behind']);
  });

  streamTest('thousands of them, and thousands of operations in one', async (enclave) => {
    const streams = Array.from({ length: 3000 }, () => enclave.createStream());
    const results = await Promise.all(streams.map((stream, index) => stream.launch('echo', index)));
    assert.deepEqual(
      results,
      streams.map((_, index) => index),
    );
    const one = enclave.createStream();
    const held = one.launch('wait', 'held');
    const events = Array.from({ length: 20_000 }, () => one.record());
    const count = one.callback(() => events.filter((event) => event.query()).length);
    await until(() => enclave.launch('isWaiting', 'held'));
    await enclave.launch('open', 'held');
    await held;
    assert.ok((await count) > 0);
    await Promise.all(events.map((event) => event.synchronize()));
  });

  streamTest('share the enclave: a long queue does not keep others from their turn', async (enclave) => {
    const long = enclave.createStream();
    for (let index = 0; index < 2000; index++) long.launch('echo', index);
    const short = enclave.createStream();
    for (let index = 0; index < 20; index++) await short.launch('echo', index);
    assert.ok(!long.query());
    await long.synchronize();
  });

  streamTest('call back when what is before is done, and wait for the callback', async (enclave) => {
    const stream = enclave.createStream();
    const order: string[] = [];
    stream.launch('echoLater', 'a').then((value) => order.push(value));
    const callback = stream.callback(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      order.push('callback');
      return 7;
    });
    stream.launch('echo', 'b').then((value) => order.push(String(value)));
    await stream.synchronize();
    assert.equal(await callback, 7);
    assert.deepEqual(order, ['a', 'callback', 'b']);
  });

  test('stick to their threads, and take turns with them', async () => {
    await withEnclave<Program>(twoThreads, {}, async (enclave) => {
      for (const expected of [0, 1, 0]) {
        const stream = enclave.createStream();
        for (let index = 0; index < 3; index++) {
          assert.equal((await stream.launch('thread')).index, expected);
        }
      }
      assert.equal((await enclave.createStream({ thread: 1 }).launch('thread')).index, 1);
    });
  });
});

describe('a failure', () => {
  streamTest('keeps what is behind from running, until it was reported', async (enclave) => {
    const stream = enclave.createStream();
    const failing = stream.launch('refuse', 'this one');
    const behind = stream.launch('note', 'behind');
    const event = stream.record();
    await assert.rejects(failing, { innerCode: 'REFUSED' });
    await assert.rejects(behind, { ...FAILED, message: /this one/ });
    await assert.rejects(event.synchronize(), FAILED);
    await assert.rejects(stream.launch('note', 'later'), FAILED);
    await assert.rejects(stream.synchronize(), { innerCode: 'REFUSED' });
    await stream.synchronize();
    assert.equal(await stream.launch('echo', 1), 1);
    assert.deepEqual(await enclave.launch('takeLog'), []);
  });

  streamTest('reaches the streams that wait for it, and no others', async (enclave) => {
    const [failing, waiting, other] = [
      enclave.createStream(),
      enclave.createStream(),
      enclave.createStream(),
    ];
    failing.launch('refuse', 'this one');
    waiting.wait(failing.record());
    const waited = waiting.launch('note', 'waited');
    await assert.rejects(waited, FAILED);
    assert.equal(await other.launch('echo', 1), 1);
    await assert.rejects(waiting.synchronize(), FAILED);
    await assert.rejects(failing.synchronize(), { innerCode: 'REFUSED' });
  });

  streamTest('may be of the host: a name that there is not, a callback that throws', async (enclave) => {
    const stream = enclave.createStream() as unknown as Stream;
    await assert.rejects(stream.launch('missing'), { code: 'SGXIO_LAUNCH_REJECTED' });
    await assert.rejects(stream.synchronize(), { code: 'SGXIO_LAUNCH_REJECTED' });
    await assert.rejects(
      stream.callback(() => {
        throw new Error('mine');
      }),
      /mine/,
    );
    await assert.rejects(stream.synchronize(), /mine/);
  });

  test('of a thread is one of its streams alone', async () => {
    await withEnclave<Program>(twoThreads, {}, async (enclave) => {
      const [healthy, dying] = [enclave.createStream({ thread: 0 }), enclave.createStream({ thread: 1 })];
      const died = dying.launch('dieLater');
      const behind = dying.launch('note', 'behind');
      await assert.rejects(died, { code: 'SGXIO_THREAD_FAILED' });
      await assert.rejects(behind, FAILED);
      assert.equal(await healthy.launch('echo', 1), 1);
      await healthy.synchronize();
    });
  });
});

describe('cancellation', () => {
  streamTest('ends what runs and what waits, at any point', async (enclave) => {
    for (let turns = 0; turns < 30; turns++) {
      const stream = enclave.createStream();
      const all = [
        stream.launch('step', 'a', 2),
        stream.launch('step', 'b', 2),
        stream.callback(() => 'c'),
        stream.launch('echo', 'd'),
      ];
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      stream.cancel();
      const outcomes = await Promise.allSettled(all);
      const rejected = outcomes.findIndex(({ status }) => status === 'rejected');
      const kept = rejected < 0 ? all.length : rejected;
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        all.map((_, index) => (index < kept ? 'fulfilled' : 'rejected')),
      );
      await assert.rejects(stream.synchronize(), { code: 'SGXIO_ABORTED' });
      assert.equal(await stream.launch('echo', turns), turns);
    }
    await until(() => enclave.pendingLaunches === 0);
  });

  streamTest('ends a wait for what does not come', async (enclave) => {
    const [held, waiting] = [enclave.createStream(), enclave.createStream()];
    held.launch('wait', 'held');
    waiting.wait(held.record());
    const launch = waiting.launch('nothing');
    waiting.cancel();
    await assert.rejects(launch, FAILED);
    await assert.rejects(waiting.synchronize(), { code: 'SGXIO_ABORTED' });
    held.cancel();
    await assert.rejects(held.synchronize(), { code: 'SGXIO_ABORTED' });
    await until(() => enclave.pendingLaunches === 0);
  });

  streamTest('leaves nothing with the signal of a launch that waited', async (enclave) => {
    const held = Array.from({ length: LAUNCHES_IN_FLIGHT_MAX }, () => enclave.launch('wait', 'ever'));
    const stream = enclave.createStream();
    const { signal } = new AbortController();
    const launch = stream.launchWith({ signal }, 'nothing');
    assert.equal(getEventListeners(signal, 'abort').length, 1);
    stream.cancel();
    await assert.rejects(launch, { code: 'SGXIO_ABORTED' });
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    assert.equal(enclave.pendingLaunches, held.length);
    enclave.kill();
    await Promise.allSettled(held);
  });

  streamTest('the end of the enclave fails every stream', async (enclave) => {
    const streams = Array.from({ length: 20 }, () => enclave.createStream());
    for (const stream of streams) for (let index = 0; index < 5; index++) stream.launch('wait', 'ever');
    await enclave.stop();
    for (const stream of streams)
      await assert.rejects(stream.synchronize(), { code: 'SGXIO_ENCLAVE_STOPPED' });
  });
});
