import assert from 'node:assert/strict';
import { test } from 'node:test';
import { echoSteps, echoSuite } from '../../src/bench/echo.ts';
import { idleSuite } from '../../src/bench/idle.ts';
import { scaleSteps, scaleSuite } from '../../src/bench/scale.ts';

test('the echo suite measures every server at every number of connections', async () => {
  const told: string[] = [];
  const { suite, rows } = await echoSuite(
    { connections: [1, 4], bytes: 64, requests: 200, rounds: 1 },
    (what) => told.push(what),
  );
  assert.equal(suite, 'echo');
  assert.equal(told.length, echoSteps(1));
  assert.deepEqual(
    rows.map(({ name, connections }) => `${name} ${connections}`),
    [1, 4].flatMap((connections) =>
      ['exitless', 'exitless, tasks', 'exit', 'direct', 'node:net'].map((name) => `${name} ${connections}`),
    ),
  );
  for (const row of rows) {
    assert.ok(Number(row['requests_per_s']) > 0);
    assert.ok(Number(row['p50_us']) > 0 && Number(row['p99_us']) >= Number(row['p50_us']));
  }
});

test('the idle and scale suites measure the servers that they are told', async () => {
  const idle = await idleSuite(
    { connections: 10, seconds: 0.2, firstRequests: 1, servers: ['exitless'] },
    () => {},
  );
  assert.equal(idle.rows.length, 1);
  assert.ok(Number(idle.rows[0]!['busy_p50_us']) > 0);
  const told: string[] = [];
  const scale = await scaleSuite(
    { connections: [1, 50], active: 8, requests: 100, rounds: 1, servers: ['exitless', 'node:net'] },
    (what) => told.push(what),
  );
  assert.equal(told.length, scaleSteps([1, 50], 1));
  assert.equal(scale.rows.length, 4);
});
