import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Enclave } from '../../src/index.ts';
import { buildProgram, STRATEGIES, startEnclave } from '../support/service-enclaves.ts';

for (const strategy of STRATEGIES) {
  describe(`time, ${strategy}`, () => {
    const start = async (t: TestContext): Promise<Enclave> =>
      startEnclave(t, await buildProgram(import.meta.dirname, 'clock.program.js', {}), { strategy });

    test('clocks go forwards, with the time of the host', async (t) => {
      const enclave = await start(t);
      const before = Date.now();
      const [wall, monotonic] = (await enclave.launch('readings', 500)) as [number[], number[]];
      for (const times of [wall, monotonic]) {
        assert.deepEqual(
          times,
          times.toSorted((left, right) => left - right),
        );
      }
      assert.ok(wall[0]! > before - 1000 && wall.at(-1)! < Date.now() + 1000);
    });

    test('sleeping takes as long as it should, and can be aborted', async (t) => {
      const enclave = await start(t);
      for (const took of (await enclave.launch('sleeps', 20)) as number[]) assert.ok(took >= 19, `${took}`);
      assert.equal(await enclave.launch('abortSleep'), 'SGXIO_ABORTED');
      const codes = (await enclave.launch('invalidSleeps')) as string[];
      assert.deepEqual(new Set(codes), new Set(['SGXIO_INVALID_ARGUMENT']));
    });

    test('timers fire', async (t) => {
      const fired = (await (await start(t)).launch('timers')) as string[];
      for (const name of ['interval', 'timeout', 'immediate']) assert.ok(fired.includes(name), name);
    });
  });
}
