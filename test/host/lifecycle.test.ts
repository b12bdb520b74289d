// Runs alone: it counts the descriptors and the memory of this process.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { strategies } from '../../src/boundary/boot.ts';
import { encodeImage } from '../../src/image/image.ts';
import { Enclave, EnclaveError, type Image, writeImage } from '../../src/index.ts';
import { until } from '../support/conditions.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import { users } from '../support/users.ts';

type Program = typeof import('./lifecycle.program.ts');

const grants = { listen: ['tcp:127.0.0.1:*'] };
const image: Image = await buildProgram('test/host/lifecycle.program', { grants });

for (const strategy of strategies) {
  test(`an enclave starts, serves and stops: ${strategy}`, async () => {
    const enclave = await Enclave.create<Program>(image, { strategy });
    assert.equal(await enclave.launch('main'), 'served');
    assert.deepEqual(await enclave.stop(), { code: 0, signal: null });
    await assert.rejects(enclave.launch('main'), { code: 'SGXIO_ENCLAVE_STOPPED' });
  });
}

test('a hundred enclaves leave no descriptor, no process and no memory behind', async () => {
  const start = async (): Promise<void> => {
    const enclave = await Enclave.create<Program>(image);
    assert.equal(await enclave.launch('main'), 'served');
    await enclave.stop();
    assert.ok(!existsSync(`/proc/${enclave.pid}`));
  };
  await start();
  const descriptors = readdirSync('/proc/self/fd').length;
  const shared = sharedKibibytes();
  for (let count = 0; count < 100; count++) await start();
  await until(() => readdirSync('/proc/self/fd').length <= descriptors);
  assert.ok(sharedKibibytes() - shared < 1024, `${sharedKibibytes() - shared} KiB of boundaries are left`);
});

/** Shared memory of this process that is in use, in KiB. */
function sharedKibibytes(): number {
  const [, kibibytes] = /^RssShmem:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kibibytes);
}

describe('an enclave that ends early', () => {
  test('killed: every pending launch fails, typed', async () => {
    const enclave = await Enclave.create<Program>(image);
    const pending = [enclave.launch('waitForEverAsync'), enclave.launch('waitForEverAsync')];
    enclave.kill();
    for (const launch of pending) {
      await assert.rejects(launch, (error) => error instanceof EnclaveError && /SIGKILL/.test(error.message));
    }
    assert.deepEqual(await enclave.exited, { code: null, signal: 'SIGKILL' });
  });

  for (const name of ['waitForEver', 'waitForEverAsync'] as const) {
    test(`stopped while it waits: ${name}`, async () => {
      const enclave = await Enclave.create<Program>(image);
      const launch = assert.rejects(enclave.launch(name));
      await until(() => enclave.stats().host.callsByKind['accept'] === 1);
      assert.deepEqual(await enclave.stop(), { code: 0, signal: null });
      await launch;
    });
  }

  test('one that computes is stopped by force', async () => {
    const enclave = await Enclave.create<Program>(image);
    const launch = assert.rejects(enclave.launch('compute'), { code: 'SGXIO_ENCLAVE_STOPPED' });
    await until(() => enclave.stats().host.callsByKind['clock'] === 1);
    assert.deepEqual(await enclave.stop(100), { code: null, signal: 'SIGKILL' });
    await launch;
  });

  test('its host is killed: so is the enclave', async () => {
    const host = spawn(process.execPath, [join(import.meta.dirname, 'lifecycle-host.js')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(host.stdout, 'data')) as [Buffer];
    const [pid, served] = line.toString().trim().split(' ');
    assert.equal(served, 'served');
    assert.ok(isAlive(Number(pid)));
    host.kill('SIGKILL');
    await until(() => !isAlive(Number(pid)));
  });
});

describe('a host that ends while it holds enclaves', () => {
  const end = async (...settings: string[]): Promise<{ code: number | null; out: string; err: string }> => {
    const host = spawn(process.execPath, [join(import.meta.dirname, 'exiting-host.js'), ...settings], {
      timeout: 20_000,
    });
    const closed = once(host, 'close');
    const [out, err] = await Promise.all([text(host.stdout), text(host.stderr)]);
    const [code] = (await closed) as [number | null];
    return { code, out, err };
  };

  // More of them than an emitter has listeners without a warning.
  for (const [way, enclaves, expected] of [
    ['exit', 12, { code: 7, err: /^$/ }],
    ['throw', 1, { code: 1, err: /nobody catches it/ }],
    ['terminate', 1, { code: 7, err: /^$/ }],
  ] as const) {
    test(`they end with it: ${way}`, async () => {
      const { code, out, err } = await end(way, String(enclaves), 'ready');
      assert.equal(code, expected.code, err);
      assert.match(err, expected.err);
      const pids = out.split(' ').map(Number);
      assert.equal(pids.length, enclaves);
      await until(() => !pids.some(isAlive));
    });
  }

  test('at any moment of their start', async () => {
    for (let milliseconds = 0; milliseconds < 150; milliseconds += 10) {
      assert.deepEqual(await end('exit', '1', String(milliseconds)), { code: 7, out: '\n', err: '' });
    }
  });
});

test('a host without descriptors gets an error, goes on, and keeps nothing of what was begun', async () => {
  const host = ['-c', 'ulimit -n 250 && exec "$0" "$@"', process.execPath];
  const settings = [join(import.meta.dirname, 'scarce-host.js'), '42'];
  // In a group of its own: who kills a process that could not be started may kill the group.
  const child = spawn('/bin/sh', [...host, ...settings], { detached: true, timeout: 60_000 });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.equal(err, '');
  const outcomes: string[] = JSON.parse(out);
  assert.deepEqual([...new Set(outcomes)], ['EMFILE', 'SGXIO_WORKER_FAILED', 'created']);
});

/** An ended process whose parent has not asked for it yet is a zombie. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('nobody reads its private memory, root included', async () => {
  await withEnclave<Program>(image, {}, async (enclave) => {
    const address = await enclave.launch('hide', 'the secret of this test');
    const readIt = (): void => {
      const memory = openSync(`/proc/${enclave.pid}/mem`, 'r');
      readSync(memory, new Uint8Array(16), 0, 16, address);
    };
    assert.throws(readIt, (error: NodeJS.ErrnoException) =>
      ['EIO', 'EACCES', 'EPERM'].includes(error.code ?? ''),
    );
  });
});

describe('an image that is not what it was', () => {
  test('changed code, under the measurement of another image', async () => {
    const changed = { ...image, code: image.code.slice() };
    changed.code[0] = (changed.code[0] as number) ^ 1;
    await assert.rejects(Enclave.create(changed), { code: 'SGXIO_IMAGE_TAMPERED' });
  });

  test('changed grants', async () => {
    const manifest = { ...image.manifest, grants: { ...image.manifest.grants, names: true } };
    await assert.rejects(Enclave.create({ ...image, manifest }), { code: 'SGXIO_IMAGE_TAMPERED' });
  });

  test('it measures the same wherever it is built', () => {
    assert.ok(encodeImage(image).length > 0);
    assert.match(image.measurement, /^[0-9a-f]{64}$/);
  });
});

test('more private memory than the machine allows', async () => {
  const { manifest } = image;
  const large = await buildProgram('test/host/lifecycle.program', { privateMemoryBytes: 2 ** 32 });
  assert.notEqual(manifest.privateMemoryBytes, large.manifest.privateMemoryBytes);
  const error = await Enclave.create(large).then(
    async (enclave) => {
      await enclave.stop();
      return undefined;
    },
    (reason: unknown) => reason as EnclaveError,
  );
  // Root may lock as much as there is; then there must be as much.
  if (error !== undefined) assert.match(error.message, /lock/);
});

test('a port in use is an error of the call, and the enclave goes on', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  await withEnclave<Program>(image, {}, async (enclave) => {
    const listening = enclave.launch('listenAt', port);
    await assert.rejects(listening, {
      innerCode: 'EADDRINUSE',
      message: new RegExp(`127\\.0\\.0\\.1:${port}`),
    });
    assert.equal(await enclave.launch('main'), 'served');
  });
});

test('a call that waits for a socket is answered beside any number of others', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  other.close();
  await once(other, 'close');
  await withEnclave<Program>(image, {}, async (enclave) => {
    const accepted = enclave.launch('acceptBeside', port, 20_000_000);
    await until(() => Number(enclave.stats().host.callsByKind['nothing']) > 1000);
    const client = connect(port, '127.0.0.1');
    await once(client, 'connect');
    assert.equal(await accepted, true);
    client.destroy();
  });
});

test('a host that node evaluates, of an option that no worker can take', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'evaluated-'));
  after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'evaluated.sgxio');
  await writeImage(path, image);
  const host = `
    import { Enclave, readImage } from ${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)};
    const enclave = await Enclave.create(await readImage(${JSON.stringify(path)}));
    console.log(await enclave.launch('countPings', 10));
    await enclave.stop();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', host]);
  assert.equal(stdout, '10\n');
});

test('a strategy that there is not', async () => {
  const strategy = 'exitful' as 'exit';
  await assert.rejects(Enclave.create(image, { strategy }), { code: 'SGXIO_INVALID_ARGUMENT' });
});

for (const user of users()) {
  test(`under the limits of ${user.name}`, async () => {
    const { name: _name, ...ids } = user;
    const host = spawn(
      '/bin/sh',
      [
        '-c',
        'ulimit -l 8192 && exec "$0" "$1"',
        process.execPath,
        join(import.meta.dirname, 'lifecycle-host.js'),
      ],
      { ...ids, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(host.stdout, 'data')) as [Buffer];
    assert.match(line.toString(), /^\d+ served\n$/);
    host.kill('SIGKILL');
    await once(host, 'exit');
  });
}
