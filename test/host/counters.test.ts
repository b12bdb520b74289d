import assert from 'node:assert/strict';
import { type ChannelListener, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Registry } from 'prom-client';
import { buildImage, Enclave, type Image } from '../../src/index.ts';
import { CALLS_KEPT_FOR_ENDING } from '../../src/limits.ts';
import { until } from '../support/conditions.ts';

let image: Image;
before(async () => {
  image = await buildImage(join(import.meta.dirname, 'echo-program.js'), {
    name: 'counted',
    grants: { listen: ['tcp:127.0.0.1:*'] },
  });
});

/** Sends `text` and gives what comes back until the server closes. */
async function echo(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  let received = '';
  socket.on('data', (chunk: string) => {
    received += chunk;
    if (received.length === text.length) socket.end();
  });
  socket.write(text);
  await once(socket, 'close');
  return received;
}

const ROUNDS_MAX = 500;
const PINGS_A_ROUND = 1000;
const FEW_EXITS: number = PINGS_A_ROUND / 10;

test('both sides count the calls, their bytes, and each what it alone can know', async () => {
  await using enclave = await Enclave.create(image);
  await enclave.launch('pings', 10_000);
  const port = (await enclave.launch('serve')) as number;
  assert.equal(await echo(port, 'x'.repeat(1000)), 'x'.repeat(1000));
  await until(() => enclave.stats().enclave.callsByKind['close'] === 1);
  await enclave.launch('endServing');
  await until(() => enclave.stats().enclave.inFlight === 0);
  const { host, enclave: own, workerDeaths } = enclave.stats();
  for (const counts of [host, own]) {
    assert.equal(counts.callsByKind['nothing'], 10_000);
    assert.equal(counts.callsByKind['close'], 2);
    assert.equal(counts.bytesIn, 1000);
    assert.equal(counts.bytesOut, 1000);
    assert.equal(counts.inFlight, 0);
    assert.equal(counts.failures, 1, 'the accept that the close of its listener ended');
    assert.ok(counts.mostInFlight >= 2);
    assert.ok(counts.latency.count >= 10_000 / 64 - 64, `${counts.latency.count} were timed`);
  }
  assert.equal(host.calls, own.calls);
  assert.equal(workerDeaths, 0);
  assert.equal(own.exits, own.parks + own.wakes);
});

test('with exits, the enclave leaves for its calls', async () => {
  await using enclave = await Enclave.create(image, { strategy: 'exit' });
  const before = enclave.stats().enclave.exits;
  await enclave.launch('pings', 300);
  await until(() => enclave.stats().enclave.callsByKind['nothing'] === 300);
  assert.ok(enclave.stats().enclave.exits - before >= 150);
});

test('without an enclave the program still counts', async () => {
  await using enclave = await Enclave.create(image, { strategy: 'direct' });
  await enclave.launch('pings', 100);
  await until(() => enclave.stats().enclave.callsByKind['nothing'] === 100);
  assert.equal(enclave.stats().host.calls, 0);
});

test('calls that find every slot taken are counted, and what makes room still goes through', async () => {
  await using enclave = await Enclave.create(image);
  assert.equal(await enclave.launch('exhaust'), 'SGXIO_CHANNEL_FULL');
  await until(() => enclave.stats().enclave.channelFull === 1);
  assert.ok(enclave.stats().enclave.mostInFlight >= 16_384 - CALLS_KEPT_FOR_ENDING);
});

test('the counts of an enclave that has ended stay', async () => {
  const enclave = await Enclave.create(image);
  await enclave.launch('pings', 5000);
  await enclave.stop();
  assert.equal(enclave.stats().host.callsByKind['nothing'], 5000);
  assert.ok(enclave.stats().enclave.calls >= 4096);
});

test('a registry of prom-client shows every enclave until it ends', async () => {
  const registry = new Registry();
  const first = await Enclave.create(image);
  const second = await Enclave.create(image);
  first.metrics(registry);
  second.metrics(registry);
  await first.launch('pings', 128);
  const text = await registry.metrics();
  const at = (line: string): string | undefined =>
    text.split('\n').find((candidate) => candidate.startsWith(line));
  const labels = `enclave="counted",pid="${first.pid}"`;
  assert.equal(at(`sgxio_calls_total{${labels},side="host",kind="nothing"}`)?.split(' ').at(-1), '128');
  assert.match(text, /^# TYPE sgxio_call_duration_seconds histogram$/m);
  assert.ok(at(`sgxio_call_duration_seconds_bucket{${labels},side="host",le="+Inf"}`));
  assert.ok(at(`sgxio_exits_total{${labels}}`));
  assert.ok(at(`sgxio_calls_total{enclave="counted",pid="${second.pid}"`));
  assert.equal((await registry.getMetricsAsJSON()).length, 13);
  registry.resetMetrics();
  await first.stop();
  await second.stop();
  assert.doesNotMatch(await registry.metrics(), /pid=/);
});

test('the life of an enclave and of its worker is told as it happens', async () => {
  const told: [string, unknown][] = [];
  const names = [
    'enclave:start',
    'enclave:ready',
    'enclave:exit',
    'worker:start',
    'worker:ready',
    'worker:exit',
  ];
  const listeners = names.map((name): [string, ChannelListener] => [
    `sgxio:${name}`,
    (message) => told.push([name, message]),
  ]);
  for (const [name, listener] of listeners) subscribe(name, listener);
  const enclave = await Enclave.create(image);
  await enclave.stop();
  for (const [name, listener] of listeners) unsubscribe(name, listener);
  // A worker tells of itself when it gets there.
  const ready = told.findIndex(([name]) => name === 'worker:ready');
  assert.ok(ready > 0 && ready < told.findIndex(([name]) => name === 'worker:exit'));
  told.splice(ready, 1);
  assert.deepEqual(
    told.map(([name]) => name),
    ['worker:start', 'enclave:start', 'enclave:ready', 'worker:exit', 'enclave:exit'],
  );
  const start = told[1]?.[1] as { enclave: Enclave; measurement: string; pid: number };
  assert.equal(start.enclave, enclave);
  assert.equal(start.measurement, image.measurement);
  assert.equal(start.pid, enclave.pid);
  assert.equal((told[4]![1] as { code: number }).code, 0);
});

test('on cores that are free, calls need no exits', async () => {
  await using enclave = await Enclave.create(image);
  // Where others take the cores, waits sleep at once; a moment without them is enough.
  const exits: number[] = [];
  for (let round = 0; round < ROUNDS_MAX && !exits.some((count) => count < FEW_EXITS); round++) {
    const before = enclave.stats().enclave.exits;
    await enclave.launch('pings', PINGS_A_ROUND);
    exits.push(enclave.stats().enclave.exits - before);
  }
  assert.ok(Math.min(...exits) < FEW_EXITS, `${Math.min(...exits)} exits for ${PINGS_A_ROUND} calls`);
});
