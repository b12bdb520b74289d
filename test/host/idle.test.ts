// Runs alone: it measures the processor time of processes that do nothing.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { buildImage, Enclave } from '../../src/index.ts';

/** Processor time of all threads of a process, in ticks of 10 ms. */
function ticks(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'))
    .map((status) => status.slice(status.lastIndexOf(')') + 2).split(' '))
    .reduce((sum, fields) => sum + Number(fields[11]) + Number(fields[12]), 0);
}

test('an idle enclave and its worker use next to nothing of a core', async () => {
  const image = await buildImage(join(import.meta.dirname, 'echo-program.js'), {
    name: 'idle',
    grants: { listen: ['tcp:127.0.0.1:*'] },
  });
  await using enclave = await Enclave.create(image);
  await enclave.launch('pings', 1000);
  await enclave.launch('serve');
  await delay(300);
  const used = (): number => ticks(enclave.pid!) + ticks(process.pid);
  const before = used();
  const parks = enclave.stats().host.parks;
  await delay(2000);
  const ticksUsed = used() - before;
  assert.ok(ticksUsed <= 2, `${ticksUsed * 10} ms of 2000 ms`);
  assert.ok(enclave.stats().host.parks - parks <= 2, 'the worker slept through');
});

test('with one core everything works', async () => {
  const { stdout } = await promisify(execFile)('taskset', [
    '-c',
    '0',
    process.execPath,
    join(import.meta.dirname, 'one-core.child.js'),
  ]);
  assert.deepEqual(JSON.parse(stdout), { failed: 0, echoed: 200 });
});
