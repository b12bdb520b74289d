import { type ChildProcess, fork } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { buildImage, Enclave } from '../../src/index.ts';
import { until } from '../support/conditions.ts';

/** What is left of a server that nobody uses. */
export interface Rest {
  readonly cycle: number;
  readonly calls: number;
  readonly workerDeaths: number;
  readonly hostSockets: number;
  readonly arenaBlocks: number;
  readonly enclaveMegabytes: number;
  readonly hostMegabytes: number;
}

const CLIENTS = 3;
const CONNECTIONS = 20;
/** Calls that clients cause before they are killed. */
const CALLS_A_LIFE = 2000;
const LIVES_A_CYCLE = 3;
const QUIET_MILLISECONDS = 100;
const MILLISECONDS_A_DEATH = 2500;
const child = fileURLToPath(new URL('./client.child.js', import.meta.url));
const program = fileURLToPath(new URL('../host/echo-program.js', import.meta.url));

/**
 * Runs an echo server under load while its clients are killed with SIGKILL and its workers terminated; each
 * cycle ends with nobody there, and tells what is left then. Throws when a client got a wrong echo.
 */
export async function soak(milliseconds: number, onCycle: (rest: Rest) => void): Promise<Rest[]> {
  const threads: Worker[] = [];
  const onStart = (message: unknown): void => void threads.push((message as { thread: Worker }).thread);
  subscribe('sgxio:worker:start', onStart);
  try {
    const image = await buildImage(program, { name: 'soak', grants: { listen: ['tcp:127.0.0.1:*'] } });
    await using enclave = await Enclave.create(image);
    const port = Number(await enclave.launch('serve'));
    const rests: Rest[] = [];
    let killedAt = Number.NEGATIVE_INFINITY;
    /** Workers that die too often end the enclave: so a quick machine does not get a death in every cycle. */
    const killWorker = (): void => {
      if (performance.now() - killedAt < MILLISECONDS_A_DEATH) return;
      killedAt = performance.now();
      void threads.at(-1)?.terminate();
    };
    const end = performance.now() + milliseconds;
    const ended = enclave.exited.then((exit): never => {
      throw new Error(`the enclave ended in the middle: ${JSON.stringify(exit)}`);
    });
    while (performance.now() < end || rests.length < 2) {
      await Promise.race([strain(port, enclave, killWorker), ended]);
      await Promise.race([quiet(enclave), ended]);
      rests.push(restOf(enclave, rests.length));
      onCycle(rests.at(-1) as Rest);
    }
    ended.catch(() => {});
    return rests;
  } finally {
    unsubscribe('sgxio:worker:start', onStart);
  }
}

/** Waits until nothing but an accept is in flight, and stays so. */
async function quiet(enclave: Enclave): Promise<void> {
  for (let calls = -1; calls !== enclave.stats().host.calls; ) {
    await until(() => enclave.stats().host.inFlight === 1 && enclave.stats().enclave.arenaBlocks === 0);
    calls = enclave.stats().host.calls;
    await new Promise((resolve) => setTimeout(resolve, QUIET_MILLISECONDS));
  }
}

/** Clients come and are killed; in the middle of it a worker is, too. */
async function strain(port: number, enclave: Enclave, killWorker: () => void): Promise<void> {
  let wrong: unknown;
  for (let life = 0; life < LIVES_A_CYCLE; life++) {
    const clients = Array.from({ length: CLIENTS }, () => fork(child, [String(port), String(CONNECTIONS)]));
    try {
      for (const client of clients) {
        client.once('message', (message) => {
          wrong ??= message;
        });
      }
      const goal = enclave.stats().host.calls + CALLS_A_LIFE;
      await until(() => enclave.stats().host.calls >= goal);
      if (life === 1) {
        killWorker();
        await until(() => enclave.stats().host.calls >= goal + CALLS_A_LIFE);
      }
    } finally {
      await Promise.all(clients.map(kill));
    }
  }
  if (wrong !== undefined) throw new Error(`a client has received ${wrong}`);
}

async function kill(client: ChildProcess): Promise<void> {
  const ended = once(client, 'exit');
  client.kill('SIGKILL');
  await ended;
}

function restOf(enclave: Enclave, cycle: number): Rest {
  const { host, enclave: own, workerDeaths } = enclave.stats();
  return {
    cycle,
    calls: host.calls,
    workerDeaths,
    hostSockets: openSockets(),
    arenaBlocks: own.arenaBlocks,
    enclaveMegabytes: residentMegabytes(String(enclave.pid)),
    hostMegabytes: residentMegabytes('self'),
  };
}

function openSockets(): number {
  return readdirSync('/proc/self/fd').filter((name) => {
    try {
      return /^(socket:|anon_inode:)/.test(readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      return false;
    }
  }).length;
}

function residentMegabytes(pid: string): number {
  const kilobytes = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kilobytes) / 1024);
}

/** What grew from the second cycle to the last, in words; a worker that died may take one descriptor with it. */
export function leaksIn(rests: readonly Rest[]): string[] {
  const [, first = rests[0] as Rest] = rests;
  const last = rests.at(-1) as Rest;
  const leaks: string[] = [];
  const compare = (what: keyof Rest, allowance: number): void => {
    const growth = last[what] - first[what];
    if (growth > allowance) leaks.push(`${what} grew by ${growth}, from ${first[what]} to ${last[what]}`);
  };
  compare('hostSockets', last.workerDeaths - first.workerDeaths);
  compare('arenaBlocks', 0);
  compare('enclaveMegabytes', MEMORY_ALLOWANCE_MEGABYTES);
  compare('hostMegabytes', MEMORY_ALLOWANCE_MEGABYTES);
  return leaks;
}

/** Heaps breathe: less than this in a run is no leak, and an hour's leak is more. */
const MEMORY_ALLOWANCE_MEGABYTES = 64;
