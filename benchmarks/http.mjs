/**
 * A static file over HTTP/1.1 with keep-alive: by the file server of apps/, which has it in private memory or on the
 * host, by node:http from memory, and by nginx with one process and without a log.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { load, report, reportSkipped } from './peers.mjs';
import {
  alternativeOf,
  COUNT,
  freePort,
  HOST,
  serveEnclosed,
  serveForked,
  serveSpawned,
  versionFrom,
} from './servers.mjs';

const FILE_BYTES = 4096;
const NAME = 'file.bin';
const MOUNT = '/www';
const MESSAGE = `GET /${NAME} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
const TIMEOUT_MILLISECONDS = 60_000;
const NGINX = 'nginx is not installed (Debian: apt-get install nginx-light)';

const { Enclave, buildImage } = await load('index.js');
const program = fileURLToPath(new URL('../dist/apps/http/program.js', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'sgxio-http-'));
const bytes = new Uint8Array(FILE_BYTES).fill(120);
await writeFile(join(folder, NAME), bytes);
const image = await buildImage(program, {
  name: 'benchmark-http',
  grants: { listen: [`tcp:${HOST}:0`], files: [{ mount: MOUNT, access: 'read' }] },
});
const serveArguments = [{ mount: MOUNT, timeout: TIMEOUT_MILLISECONDS }];

async function enclosed(name, { strategy = 'exitless', side = 'own', inMemory = false }) {
  const enclave = await Enclave.create(image, { strategy, directories: { [MOUNT]: folder } });
  if (inMemory) await enclave.launch('put', `/${NAME}`, bytes);
  return await serveEnclosed(name, enclave, serveArguments, side);
}

async function nginx() {
  // Debian keeps it where ordinary users do not look.
  const command = ['nginx', '/usr/sbin/nginx'].find((each) => versionFrom(each, '-v') !== undefined);
  if (command === undefined) return reportSkipped(NGINX);
  const port = await freePort();
  const configuration = join(folder, 'nginx.conf');
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (each) => `${each}_temp_path ${folder}/${each};`,
  );
  await writeFile(
    configuration,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000000; ${paths.join(' ')}
  server { listen ${HOST}:${port}; root ${folder}; open_file_cache max=10; } }\n`,
  );
  const values = ['-p', folder, '-e', 'stderr', '-c', configuration];
  const version = versionFrom(command, '-v').replace(/^.*nginx\//, '');
  return await serveSpawned('nginx', version, port, command, values);
}

const servers = [
  await enclosed('sgxio, exitless, in memory', { inMemory: true }),
  await enclosed('sgxio, exitless, file of the host', {}),
  await enclosed('sgxio, in place (direct), in memory', {
    strategy: 'direct',
    side: 'floor',
    inMemory: true,
  }),
  await serveForked('node:http, in memory', process.versions.node, './workers/http.mjs', [
    join(folder, NAME),
  ]),
  await nginx(),
].filter((server) => server !== undefined);

try {
  for (const connections of [1, 64]) {
    const alternatives = [];
    for (const server of servers) alternatives.push(await alternativeOf(server, connections, MESSAGE));
    const question = `A static file of 4 KiB over HTTP, ${connections} ${connections === 1 ? 'connection' : 'connections'}`;
    await report(alternatives, { question, count: COUNT, warmUps: 1, rounds: 7 });
    for (const { endClient } of alternatives) await endClient();
  }
} finally {
  for (const { end } of servers) await end();
  await rm(folder, { recursive: true });
}
