/**
 * What the comparisons of servers share: each server has a client of its own, a process over epoll, the same for
 * all. A time is that of a batch of requests divided by their number; processor time is the server's alone.
 */
import { execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { builtUrl, load, ownProcessor, versionOf } from './peers.mjs';

export const HOST = '127.0.0.1';
export const COUNT = 4;
const BATCH_REQUESTS = 2000;
const NANOSECONDS_A_SECOND = 1e9;
const QUIET_MILLISECONDS = 100;
const START_MILLISECONDS = 5000;
const RETRY_MILLISECONDS = 20;

const { processorNanoseconds } = await load('bench/processor-time.js');

/** Serves from an enclave with its `open` and `serve`. */
export async function serveEnclosed(name, enclave, serveArguments, side = 'own') {
  const port = await enclave.launch('open', HOST, 0);
  const served = enclave.launch('serve', ...serveArguments).catch(() => {});
  return {
    name,
    version: versionOf(),
    side,
    port,
    processor: async () => ownProcessor() + (await processorNanoseconds(enclave.pid)),
    end: async () => {
      await enclave.stop();
      await served;
    },
  };
}

/** Serves from a process of Node that tells its port. */
export async function serveForked(name, version, file, values = []) {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), values);
  const [port] = await once(child, 'message');
  return { name, version, side: 'peer', port, ...serverProcess(child) };
}

/** Serves from a program of the system that listens at the port it is given. */
export async function serveSpawned(name, version, port, command, values) {
  // It holds no pipe of ours: whoever reads one to its end must not wait for a server that was left behind.
  const child = spawn(command, values, { stdio: 'ignore' });
  for (const until = Date.now() + START_MILLISECONDS; !(await answers(port)); ) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`${command} does not listen`);
    await delay(RETRY_MILLISECONDS);
  }
  return { name, version, side: 'peer', port, ...serverProcess(child) };
}

function serverProcess(child) {
  return {
    processor: () => processorNanoseconds(child.pid),
    end: async () => {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}

/** The first line of what a command says of its version; undefined when it is not installed. */
export function versionFrom(command, flag) {
  try {
    // Some say it on standard error.
    return execFileSync('/bin/sh', ['-c', `${command} ${flag} 2>&1`], { encoding: 'utf8' }).split('\n')[0];
  } catch {
    return undefined;
  }
}

export async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

async function answers(port) {
  const socket = connect(port, HOST);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** What one request is answered with, as text: all that comes until nothing does. */
export async function askOnce(port, message) {
  const socket = connect(port, HOST);
  const chunks = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(message);
  for (let before = -1; chunks.length === 0 || before < chunks.length; ) {
    before = chunks.length;
    await delay(QUIET_MILLISECONDS);
  }
  socket.destroy();
  return Buffer.concat(chunks).toString('latin1');
}

/** A server as an alternative, with so many connections that each have one request on its way. */
export async function alternativeOf(server, connections, message) {
  const bytes = (await askOnce(server.port, message)).length;
  const client = fork(fileURLToPath(builtUrl('bench/echo-client-main.js')), [String(server.port)]);
  const work = { connections, active: connections, bytes, message, requests: BATCH_REQUESTS };
  return {
    ...server,
    sample: async (count) => {
      const nanoseconds = new Float64Array(count);
      for (let batch = 0; batch < count; batch++) {
        client.send(work);
        const [report] = await once(client, 'message');
        nanoseconds[batch] = (report.seconds * NANOSECONDS_A_SECOND) / report.requests;
      }
      return nanoseconds;
    },
    processor: async () => (await server.processor()) / BATCH_REQUESTS,
    endClient: async () => {
      const ended = once(client, 'exit');
      client.disconnect();
      await ended;
    },
  };
}
