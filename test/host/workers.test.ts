import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { buildImage, Enclave, type Image } from '../../src/index.ts';
import { until } from '../support/conditions.ts';
import type * as program from './workers.program.ts';

type Program = typeof program;

const THREADS = 3;
const CALLS = 256;
const SOME_MILLISECONDS = 300;
/** So many directories one in the other take the kernel long to walk through. */
const DEPTH = 1000;

let image: Image;
const directory = mkdtempSync(join(tmpdir(), 'deep-'));
const path = '/d'.repeat(DEPTH);
const options = { directories: { '/data': directory } };
before(async () => {
  mkdirSync(directory + path, { recursive: true });
  image = await buildImage(join(import.meta.dirname, 'workers.program.js'), {
    name: 'served',
    threads: THREADS,
    grants: { listen: ['tcp:127.0.0.1:*'], files: [{ mount: '/data', access: 'read' }] },
  });
});
after(() => rmSync(directory, { recursive: true }));

const threads = Array.from({ length: THREADS }, (_, thread) => thread);

/** Keeps every thread of an enclave busy until told. */
function load(enclave: Enclave<Program>): () => Promise<number> {
  let loaded = true;
  const failures = threads.map(async (thread) => {
    let failed = 0;
    while (loaded) failed += await enclave.launchWith({ thread }, 'ask', `/data${path}`, CALLS);
    return failed;
  });
  return async () => {
    loaded = false;
    return (await Promise.all(failures)).reduce((sum, count) => sum + count, 0);
  };
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

async function exchange(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  for (let received = ''; received.length < text.length; ) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    received += chunk.toString();
    assert.ok(text.startsWith(received));
  }
}

test('workers come with load and go without it, and no connection notices', async () => {
  await using enclave = await Enclave.create<Program>(image, { ...options, workers: THREADS });
  const ports = await Promise.all(threads.map((thread) => enclave.launchWith({ thread }, 'serve')));
  const sockets = await Promise.all(ports.flatMap((port) => [open(port), open(port)]));
  assert.equal(enclave.stats().workers, 1);
  const unload = load(enclave);
  await until(() => enclave.stats().workers > 1);
  await Promise.all(sockets.map((socket) => exchange(socket, 'under load')));
  assert.equal(await unload(), 0);
  await Promise.all(sockets.map((socket) => exchange(socket, 'after load')));
  await until(() => enclave.stats().workers === 1);
  await Promise.all(sockets.map((socket) => exchange(socket, 'at rest')));
  sockets.push(...(await Promise.all(ports.map(open))));
  await Promise.all(sockets.map((socket) => exchange(socket, 'accepted after a move')));
  for (const socket of sockets) socket.destroy();
  const { host, workerDeaths } = enclave.stats();
  assert.deepEqual([host.failures, workerDeaths], [0, 0]);
});

test('there are never more workers than the limit', async () => {
  await using enclave = await Enclave.create<Program>(image, { ...options, workers: 2 });
  const unload = load(enclave);
  await until(() => enclave.stats().workers === 2);
  for (let round = 0; round < 4; round++) {
    for (const thread of threads) await enclave.launchWith({ thread }, 'ask', `/data${path}`, CALLS);
    assert.equal(enclave.stats().workers, 2);
  }
  await unload();
});

test('workers that die while channels move lose no channel', async () => {
  let youngest: Worker | undefined;
  const onReady = (message: unknown): void => {
    youngest = (message as { thread: Worker }).thread;
  };
  // Node aborts when it terminates a thread that is just loading native code.
  subscribe('sgxio:worker:ready', onReady);
  try {
    await using enclave = await Enclave.create<Program>(image, { ...options, workers: THREADS });
    const unload = load(enclave);
    for (let death = 1; death <= 4; death++) {
      await until(() => youngest !== undefined && enclave.stats().workers > 1);
      await sleep(SOME_MILLISECONDS * Math.random());
      void youngest?.terminate();
      youngest = undefined;
      await until(() => enclave.stats().workerDeaths === death);
    }
    await unload();
    for (const thread of threads) {
      assert.equal(await enclave.launchWith({ thread }, 'ask', `/data${path}`, CALLS), 0);
    }
    assert.equal(enclave.stats().host.inFlight, 0);
  } finally {
    unsubscribe('sgxio:worker:ready', onReady);
  }
});

test('services of the host have a worker for each channel, which stays', async () => {
  const services = { module: new URL('dying-services.js', import.meta.url).href, data: {} };
  await using enclave = await Enclave.create<Program>(image, { ...options, services, workers: 1 });
  assert.equal(enclave.stats().workers, THREADS);
  assert.equal(await load(enclave)(), 0);
  assert.equal(enclave.stats().workers, THREADS);
});

test('a number of workers that cannot be is refused', async () => {
  for (const workers of [0, -1, 1.5, 1e6, Number.NaN]) {
    await assert.rejects(Enclave.create(image, { ...options, workers }), { code: 'SGXIO_INVALID_ARGUMENT' });
  }
});
