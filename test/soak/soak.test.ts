import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaksIn, type Rest, soak } from './soak.ts';

test('under load, with clients and workers killed, nothing is left behind', async () => {
  const rests = await soak(8000, () => {});
  assert.deepEqual(leaksIn(rests), []);
  assert.ok(rests.at(-1)!.workerDeaths > 0);
  assert.ok(rests.at(-1)!.calls > 1000);
});

test('what grows is told', () => {
  const rest: Rest = {
    cycle: 0,
    calls: 0,
    workerDeaths: 0,
    hostSockets: 10,
    arenaBlocks: 0,
    enclaveMegabytes: 60,
    hostMegabytes: 80,
  };
  assert.deepEqual(leaksIn([rest, rest, { ...rest, hostMegabytes: 90 }]), []);
  const grown = { ...rest, hostSockets: 13, workerDeaths: 2, arenaBlocks: 1, enclaveMegabytes: 200 };
  assert.equal(leaksIn([rest, rest, grown]).length, 3);
});
