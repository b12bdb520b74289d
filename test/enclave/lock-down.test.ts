import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { type User, users } from '../support/users.ts';

const EPERM = 1;
const CHILD = join(import.meta.dirname, 'lock-down.child.js');

/** What still works, and what it answers. */
const WORKS: Readonly<Record<string, unknown>> = {
  'garbage collection': 1,
  'compilation of new functions': sumOfCompiled(),
  'a new context': 42,
  'WebAssembly: compile, trap and grow': [0, 'memory access out of bounds', 1001 * 65_536],
  'AES-GCM': 1 << 20,
  'SHA-256': 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  WebCrypto: 32,
  'random bytes': 32,
  'scrypt on the thread pool': 32,
  'zlib on the thread pool': true,
  'a timer': 'fired',
  'a wait with a time-out': 'timed-out',
  clocks: true,
  'a message port': 'hello',
  'a program and the modules that compute': 42,
  'standard error': true,
  'secret memory': 7 * 4096,
};

/** Codes other than EPERM by which Node says that the system refused. */
const OTHER_CODES: Readonly<Record<string, string>> = {
  'new Worker': 'ERR_WORKER_INIT_FAILED',
  'dns.lookup': 'EAI_AGAIN',
  'import of a file': 'ERR_MODULE_NOT_FOUND',
};

for (const user of users()) {
  describe(`locked down as ${user.name}`, () => {
    test('every other system call is refused', {
      skip: process.arch !== 'x64' && 'numbers of x64',
    }, async () => {
      const results = await run('syscalls', user);
      assert.ok(Object.keys(results).length > 50);
      for (const [name, errno] of Object.entries(results)) assert.equal(errno, EPERM, name);
    });

    test("Node's own ways out are refused", async () => {
      const results = await run('node', user);
      assert.ok(Object.keys(results).length > 10);
      for (const [name, code] of Object.entries(results))
        assert.equal(code, OTHER_CODES[name] ?? 'EPERM', name);
    });

    test('computing goes on', async () => assert.deepEqual(await run('works', user), WORKS));

    test('nothing outside sees or moves it', async () => {
      const { child, line } = await start('idle', user);
      try {
        const { secret, heap } = JSON.parse(line) as { secret: number; heap: number };
        assertMemory(child.pid!, secret, heap);
        assertStatus(child.pid!);
        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGPROF'] as const)
          child.kill(signal);
        assert.equal(pendingSignals(child.pid!), 0);
        assert.equal(child.exitCode ?? child.signalCode, null);
      } finally {
        child.kill('SIGKILL');
      }
    });
  });
}

for (const [scenario, expected] of [
  ['exit', 5],
  ['end', 6],
  ['throw', 1],
  ['silent', 9],
] as const) {
  test(`${scenario}: it ends with its code and prints nothing`, async () => {
    const child = spawn(process.execPath, [CHILD, scenario], { stdio: ['ignore', 'pipe', 'pipe'] });
    const printed = Promise.all([text(child.stdout), text(child.stderr)]);
    const [code] = await once(child, 'close');
    assert.equal(code, expected);
    assert.deepEqual(await printed, ['', '']);
  });
}

for (const scenario of ['inspector', 'abort']) {
  test(`${scenario}: what the runtime cannot do ends it`, async () => {
    const child = spawn(process.execPath, [CHILD, scenario], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [code, signal] = await once(child, 'close');
    assert.ok(code > 0 || signal !== null);
  });
}

test('it does not start under an inspector', async () => {
  const child = spawn(process.execPath, ['--inspect=0', CHILD, 'works'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: string[] = [];
  createInterface(child.stderr).on('line', (line) => lines.push(line));
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.match(lines.join('\n'), /start it without --inspect/);
});

test('it ends with the process that started it', { timeout: 60_000 }, async ({ signal }) => {
  const script = `
    const child = require('node:child_process').spawn(process.execPath, [${JSON.stringify(CHILD)}, 'idle'],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.once('data', () => console.log(child.pid));`;
  const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = Number(await firstLine(parent));
  signal.addEventListener('abort', () => process.kill(pid, 'SIGKILL'));
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
});

async function run(scenario: string, user: User): Promise<Record<string, unknown>> {
  const { child, line } = await start(scenario, user);
  if (child.exitCode === null) await once(child, 'exit');
  assert.equal(child.exitCode, 7, 'it leaves with its own code');
  return JSON.parse(line);
}

/** Starts the child with a file and a socket among its descriptors that it does not keep. */
async function start(scenario: string, user: User): Promise<{ child: ChildProcess; line: string }> {
  const file = openSync('/etc/passwd', 'r');
  const child = spawn(process.execPath, [CHILD, scenario], {
    ...user,
    cwd: '/',
    env: {},
    stdio: ['ignore', 'pipe', 'inherit', file, 'pipe'],
  });
  closeSync(file);
  child.stdio[4]?.on('error', () => {});
  return { child, line: await firstLine(child) };
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    createInterface(child.stdout!)
      .once('line', resolve)
      .once('close', () => reject(new Error('It printed nothing.')));
  });
}

/** Root reads the ordinary memory of any process, but not secret memory; another user reads neither. */
function assertMemory(pid: number, secret: number, heap: number): void {
  if (process.getuid?.() !== 0) {
    assert.throws(() => openSync(`/proc/${pid}/mem`, 'r'), { code: 'EACCES' });
    return;
  }
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    const bytes = new Uint8Array(16);
    assert.equal(readSync(memory, bytes, 0, 16, heap), 16);
    assert.deepEqual(bytes, new Uint8Array(16).fill(9));
    assert.throws(() => readSync(memory, bytes, 0, 16, secret), { code: 'EIO' });
  } finally {
    closeSync(memory);
  }
}

function assertStatus(pid: number): void {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  assert.match(status, /^NoNewPrivs:\t1$/m);
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    assert.match(
      readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'),
      /^Seccomp:\t2$/m,
      'a filter on each thread',
    );
  }
  if (process.getuid?.() !== 0) return;
  assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size +0 +0 /m);
  const folder = `/proc/${pid}/fd`;
  const open = readdirSync(folder).filter((name) => Number(name) > 2);
  for (const name of open)
    assert.match(readlinkSync(join(folder, name)), /^(anon_inode:\[event(poll|fd)\]|pipe:.*)$/);
  assert.equal(readlinkSync(join(folder, '0')), '/dev/null', 'standard input was not kept');
}

/** The set of signals that wait to be handled: an ignored signal is never in it. */
function pendingSignals(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number.parseInt(/^ShdPnd:\t([0-9a-f]+)$/m.exec(status)![1]!, 16);
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function sumOfCompiled(): number {
  let sum = 0;
  for (let step = 0; step < 500; step++) {
    for (let call = 0; call < 3; call++) {
      for (let i = 0, s = 0; i < 5000; i++) {
        s = (s + i * call + step) | 0;
        if (i === 4999) sum = (sum + s) | 0;
      }
    }
  }
  return sum;
}
