import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type * as program from '../../../apps/echo/program.ts';
import { buildImage, Enclave, type Image, type Strategy } from '../../../src/index.ts';
import { until } from '../../support/conditions.ts';

const CONNECTIONS = 10_000;
const entry = fileURLToPath(new URL('../../../apps/echo/program.js', import.meta.url));

let image: Image;
before(async () => {
  image = await buildImage(entry, { name: 'echo', grants: { listen: ['tcp:127.0.0.1:0'] } });
});

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Sends all of `bytes` while it takes what comes back; the server's answer must be the same. */
async function exchange(socket: Socket, bytes: Uint8Array): Promise<void> {
  const chunks: Buffer[] = [];
  let length = 0;
  const echoed = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= bytes.length) resolve();
    });
  });
  socket.write(bytes);
  await echoed;
  socket.removeAllListeners('data');
  assert.deepEqual(Buffer.concat(chunks), Buffer.from(bytes));
}

const forms: readonly [Strategy, 'serve' | 'serveTasks'][] = [
  ['exitless', 'serve'],
  ['exitless', 'serveTasks'],
  ['exit', 'serve'],
  ['direct', 'serve'],
  ['direct', 'serveTasks'],
];

for (const [strategy, form] of forms) {
  test(`${form} with ${strategy}: bytes come back as they were sent, whatever the others do`, async () => {
    await using enclave = await Enclave.create<typeof program>(image, { strategy });
    const port = await enclave.launch('open', '127.0.0.1', 0);
    const served = enclave.launch(form).catch(() => {});
    const sockets = await Promise.all(Array.from({ length: 20 }, () => open(port)));
    for (const [index, socket] of sockets.entries()) {
      if (index % 4 === 1) socket.resetAndDestroy();
      if (index % 4 === 2) socket.end('half a connection');
    }
    const alive = sockets.filter((_, index) => index % 4 === 0 || index % 4 === 3);
    await Promise.all(alive.map((socket, index) => exchange(socket, randomBytes(1 + index * 20_000))));
    await until(() => enclave.stats().enclave.callsByKind['close']! >= 10 || strategy === 'direct');
    for (const socket of sockets) socket.destroy();
    await enclave.stop();
    await served;
  });
}

test('a client that does not read stops only its own echo', async () => {
  await using enclave = await Enclave.create<typeof program>(image);
  const port = await enclave.launch('open', '127.0.0.1', 0);
  const served = enclave.launch('serve').catch(() => {});
  const slow = await open(port);
  slow.pause();
  const block = randomBytes(1 << 20);
  let taken = 0;
  while (slow.write(block)) taken++;
  await until(() => slow.writableLength > 0);
  const other = await open(port);
  await exchange(other, randomBytes(100_000));
  assert.ok(taken < 100);
  slow.destroy();
  other.destroy();
  await enclave.stop();
  await served;
});

test(`${CONNECTIONS} connections at once, and all of them are closed again`, async () => {
  await using enclave = await Enclave.create<typeof program>(image);
  const port = await enclave.launch('open', '127.0.0.1', 0);
  const served = enclave.launch('serve').catch(() => {});
  const crowd = fork(new URL('crowd.child.js', import.meta.url), [String(port), String(CONNECTIONS)]);
  after(() => crowd.kill());
  assert.deepEqual((await once(crowd, 'message'))[0], CONNECTIONS);
  assert.ok(enclave.stats().host.mostInFlight >= CONNECTIONS);
  crowd.disconnect();
  await until(() => enclave.stats().host.callsByKind['close']! === CONNECTIONS);
  await enclave.stop();
  await served;
  assert.equal(enclave.stats().workerDeaths, 0);
});
