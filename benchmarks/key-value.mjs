/**
 * A key-value server over TCP, asked in memcached's text protocol: in an enclave, as a process of Node, and
 * memcached itself with one thread, as the others have.
 */
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { load, report, reportSkipped } from './peers.mjs';
import {
  alternativeOf,
  askOnce,
  COUNT,
  freePort,
  HOST,
  serveEnclosed,
  serveForked,
  serveSpawned,
  versionFrom,
} from './servers.mjs';

const VALUE_BYTES = 100;
const STORE = `set key 0 0 ${VALUE_BYTES}\r\n${'x'.repeat(VALUE_BYTES)}\r\n`;
const REQUESTS = [
  { what: 'get', message: 'get key\r\n', connections: 1 },
  { what: 'get', message: 'get key\r\n', connections: 64 },
  { what: 'set', message: STORE, connections: 64 },
];
const MEMCACHED = 'memcached is not installed (Debian: apt-get install memcached)';

const { Enclave, buildImage } = await load('index.js');
const image = await buildImage(fileURLToPath(new URL('./programs/key-value.mjs', import.meta.url)), {
  name: 'benchmark-key-value',
  grants: { listen: [`tcp:${HOST}:0`] },
});

async function enclosed(name, strategy, side) {
  return await serveEnclosed(name, await Enclave.create(image, { strategy }), [], side);
}

async function memcached() {
  const version = versionFrom('memcached', '--version');
  if (version === undefined) return reportSkipped(MEMCACHED);
  const port = await freePort();
  const values = ['--listen', HOST, '--port', String(port), '--udp-port', '0', '--threads', '1'];
  // It refuses to run as root unless it is told to.
  if (process.getuid() === 0) values.push('--user', 'root');
  return await serveSpawned('memcached', version.replace('memcached ', ''), port, 'memcached', values);
}

const servers = [
  await enclosed('sgxio, exitless', 'exitless', 'own'),
  await enclosed('sgxio, exit', 'exit', 'own'),
  await enclosed('sgxio, in place (direct)', 'direct', 'floor'),
  await serveForked('node:net', process.versions.node, './workers/key-value.mjs'),
  await memcached(),
].filter((server) => server !== undefined);

try {
  for (const { port } of servers) await askOnce(port, STORE);
  for (const { what, message, connections } of REQUESTS) {
    const alternatives = [];
    for (const server of servers) alternatives.push(await alternativeOf(server, connections, message));
    const question = `A key-value server, ${what} of ${VALUE_BYTES} bytes, ${connections} ${connections === 1 ? 'connection' : 'connections'}`;
    await report(alternatives, { question, count: COUNT, warmUps: 1, rounds: 7 });
    for (const { endClient } of alternatives) await endClient();
  }
} finally {
  for (const { end } of servers) await end();
}
