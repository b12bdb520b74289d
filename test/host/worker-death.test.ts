import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { buildImage, Enclave, type Image } from '../../src/index.ts';
import { WORKER_DEATHS_MAX } from '../../src/limits.ts';
import { until } from '../support/conditions.ts';
import { temporaryDirectory } from '../support/service-enclaves.ts';
import type { Deaths } from './dying-services.ts';

let image: Image;
before(async () => {
  image = await buildImage(join(import.meta.dirname, 'echo-program.js'), {
    name: 'mourned',
    grants: { listen: ['tcp:127.0.0.1:*'] },
  });
});

const dying = (deaths: Deaths) => ({
  services: { module: new URL('dying-services.js', import.meta.url).href, data: deaths },
});

/** What this process holds open that a worker may have opened. */
function openSockets(): number {
  return readdirSync('/proc/self/fd').filter((name) => {
    try {
      return /^(socket:|anon_inode:\[eventpoll\])/.test(readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      return false;
    }
  }).length;
}

/** Sends one message and takes its echo. */
async function exchange(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  for (let received = ''; received.length < text.length; ) {
    const ended = new AbortController();
    socket.once('close', () => ended.abort());
    const [chunk] = (await once(socket, 'data', { signal: ended.signal })) as [Buffer];
    received += chunk.toString();
    assert.ok(text.startsWith(received));
  }
}

/** Whether a message comes back; the connection is over when it does not. */
function isServed(socket: Socket, text: string): Promise<boolean> {
  return exchange(socket, text).then(
    () => true,
    () => false,
  );
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

test('a worker that dies of a call is followed by one that fails this call and serves the others', async () => {
  await using enclave = await Enclave.create(image, dying({ nothing: 150 }));
  const failed = await enclave.launch('pingsAsync', 640, 32);
  const { workerDeaths, host } = enclave.stats();
  assert.ok(workerDeaths >= 3 && workerDeaths <= 4, `${workerDeaths} died`);
  assert.equal(failed, workerDeaths);
  assert.equal(host.inFlight, 0);
  assert.equal(host.failures, failed);
});

test('connections, and the calls that wait on them, outlive the worker that served them', async () => {
  const before = openSockets();
  const threads: Worker[] = [];
  const onStart = (message: unknown): void => void threads.push((message as { thread: Worker }).thread);
  subscribe('sgxio:worker:start', onStart);
  try {
    await using enclave = await Enclave.create(image);
    const port = (await enclave.launch('serve')) as number;
    let sockets = await Promise.all(Array.from({ length: 20 }, () => open(port)));
    const exchangeAll = async (text: string): Promise<void> => {
      const served = await Promise.all(sockets.map((socket) => isServed(socket, text)));
      sockets = sockets.filter((_, index) => served[index]);
    };
    await exchangeAll('before any death');
    for (let death = 1; death <= 3; death++) {
      void threads.at(-1)!.terminate();
      // A worker that sleeps in the kernel ends when it is woken; one that works may take one call with it.
      await exchangeAll(`at death ${death}`);
      await until(() => enclave.stats().workerDeaths === death);
      await exchangeAll(`after death ${death}`);
    }
    const { failures } = enclave.stats().host;
    assert.ok(failures <= 3, `${failures} calls failed`);
    assert.ok(sockets.length >= 20 - failures, `${sockets.length} connections are left`);
    const after = await open(port);
    await exchange(after, 'a connection that the last worker accepted');
    for (const socket of [...sockets, after]) socket.destroy();
    assert.equal(threads.length, 4);
  } finally {
    unsubscribe('sgxio:worker:start', onStart);
  }
  await until(() => openSockets() === before);
});

test('a connection whose accept was not answered is closed, and the next is accepted', async () => {
  await using enclave = await Enclave.create(image, dying({ accept: 2, receive: 3 }));
  const port = (await enclave.launch('serve')) as number;
  const before = openSockets();
  for (let round = 0; round < 6; round++) {
    const socket = await open(port);
    await isServed(socket, `round ${round}`);
    socket.destroy();
  }
  await until(() => enclave.stats().host.inFlight === 1);
  await until(() => openSockets() <= before);
  assert.ok(enclave.stats().workerDeaths > 0);
});

test('the path of a Unix listener goes with the listener, whichever worker closes it', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const listening = await buildImage(join(import.meta.dirname, 'echo-program.js'), {
    name: 'mourned',
    grants: { listen: [`unix:${path}`] },
  });
  await using enclave = await Enclave.create(listening, dying({ nothing: 1 }));
  await enclave.launch('serveAt', { path });
  const socket = connect(path);
  await exchange(socket, 'before the death');
  await enclave.launch('pingsAsync', 1, 1);
  await exchange(socket, 'after it');
  const closed = once(socket, 'close');
  socket.end();
  await closed;
  assert.ok(existsSync(path), 'a connection that ends leaves the listener its path');
  await exchange(connect(path).unref(), 'by the path');
  await enclave.launch('endServing');
  assert.ok(!existsSync(path));
});

test('a deadline outlives the worker too', async () => {
  await using enclave = await Enclave.create(image, dying({ nothing: 1 }));
  const late = enclave.launch('acceptLate', 200);
  await until(() => enclave.stats().host.callsByKind['accept'] === 1);
  await enclave.launch('pingsAsync', 1, 1);
  assert.equal(await late, 'ETIMEDOUT');
  assert.equal(enclave.stats().workerDeaths, 1);
});

test('an enclave whose workers die again and again fails, and says so', async () => {
  const enclave = await Enclave.create(image, dying({ nothing: 1 }));
  await assert.rejects(enclave.launch('pingsAsync', 1000, 1), {
    name: 'EnclaveError',
    code: 'SGXIO_WORKER_FAILED',
    message: /died 9 times within 10 seconds/,
  });
  assert.equal(enclave.stats().workerDeaths, WORKER_DEATHS_MAX + 1);
  assert.equal((await enclave.exited).signal, 'SIGKILL');
  await assert.rejects(enclave.launch('pings', 1), { code: 'SGXIO_WORKER_FAILED' });
});

test('services that cannot be loaded fail the enclave at once, with the cause', async () => {
  const launched = async (): Promise<unknown> => {
    await using enclave = await Enclave.create(image, dying({ atOnce: true }));
    return await enclave.launch('pings', 1);
  };
  await assert.rejects(launched(), (error: Error) => {
    assert.equal((error as { code?: string }).code, 'SGXIO_WORKER_FAILED');
    assert.match((error.cause as Error).message, /it cannot be loaded/);
    return true;
  });
});
