import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import * as linux from '../../src/linux/process.ts';
import { users } from '../support/users.ts';

const { hasIoUring, landlockVersion, lockedMemoryLimit, openDescriptors, resourceLimit, runtimeDescriptors } =
  linux;

const MODULE = join(import.meta.dirname, '../../src/linux/process.js');

test('limits are those that the kernel lists', () => {
  const listed = readFileSync('/proc/self/limits', 'utf8');
  for (const [resource, title] of [
    ['core', 'Max core file size'],
    ['processes', 'Max processes'],
    ['descriptors', 'Max open files'],
    ['lockedMemory', 'Max locked memory'],
  ] as const) {
    const soft = new RegExp(`^${title} +(\\S+)`, 'm').exec(listed)![1]!;
    assert.equal(resourceLimit(resource), soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft));
  }
});

for (const user of users()) {
  test(`${user.name}: a limit that is set binds, and a privilege to lock memory lifts its limit`, () => {
    const script = `setResourceLimit('core', 12345); setResourceLimit('lockedMemory', 65536);
      console.log(JSON.stringify([resourceLimit('core'), resourceLimit('lockedMemory'), lockedMemoryLimit()]));`;
    const [core, locked, effective] = JSON.parse(runScript(script, user).stdout) as unknown[];
    assert.deepEqual([core, locked], [12_345, 65_536]);
    // JSON has no infinity: it prints null.
    assert.equal(
      effective,
      user.name === 'root' && lockedMemoryLimit() === Number.POSITIVE_INFINITY ? null : 65_536,
    );
  });
}

test('what is not kept is closed, whatever the order of what is', () => {
  const script = `
    const [a, b, c, d] = Array.from({ length: 4 }, () => fs.openSync('/dev/null'));
    const runtime = runtimeDescriptors();
    closeAllExcept([c, 1, a, 2, ...runtime, a]);
    const open = [...openDescriptors().keys()].filter((descriptor) => !runtime.includes(descriptor));
    console.log(JSON.stringify([[1, 2, a, c], open.sort((left, right) => left - right)]));`;
  const [expected, open] = JSON.parse(runScript(script).stdout) as [number[], number[]];
  assert.deepEqual(open, expected);
});

test("the runtime's descriptors are its pollers, counters and inner pipes, not files", () => {
  const file = openSync('/dev/null', 'r');
  const open = openDescriptors();
  assert.equal(open.get(file), '/dev/null');
  const runtime = runtimeDescriptors();
  assert.ok(runtime.length >= 4);
  assert.ok(!runtime.includes(file));
  for (const descriptor of runtime) assert.match(open.get(descriptor)!, /^(anon_inode:\[event|pipe:)/);
  closeSync(file);
});

test('a process whose parent is gone ends at once', () => {
  assert.equal(runScript(`dieWithParent(${process.pid}); exitNow(5);`).status, 5);
  assert.equal(runScript(`dieWithParent(${process.pid} + 1); exitNow(5);`).status, 1);
});

test('signals from outside are ignored', () => {
  const script = `ignoreSignals();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGQUIT', 'SIGALRM', 64]) process.kill(process.pid, signal);
    exitNow(5);`;
  assert.equal(runScript(script).status, 5);
});

test('what the kernel offers is read', () => {
  assert.ok(Number.isInteger(landlockVersion()) && landlockVersion() >= 0);
  const before = openDescriptors().size;
  assert.equal(typeof hasIoUring(), 'boolean');
  assert.equal(openDescriptors().size, before, 'the ring that it tried is closed');
});

/** Runs a script in a process of its own, with everything of the module in scope. */
function runScript(
  script: string,
  user: { uid?: number; gid?: number } = {},
): { status: number | null; stdout: string } {
  const source = `import fs from 'node:fs'; import { ${Object.keys(linux).join(', ')} } from ${JSON.stringify(MODULE)};
    ${script}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    uid: user.uid,
    gid: user.gid,
    cwd: '/',
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}
