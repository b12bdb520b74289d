import { setTimeout as delay } from 'node:timers/promises';
import { type EchoServer, startEchoServers } from './echo-servers.ts';
import { median } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface IdleOptions {
  /** Open connections on which nothing happens. */
  readonly connections: number;
  /** How long nothing happens, in seconds. */
  readonly seconds: number;
  /** How often the first request after an idle second is timed. */
  readonly firstRequests: number;
  readonly servers?: readonly string[];
}

const SERVERS: readonly string[] = ['exitless', 'exitless, tasks', 'direct', 'node:net'];
const IDLE_MILLISECONDS = 1000;
const BUSY_REQUESTS = 2000;
const MESSAGE_BYTES = 64;

/** What a server uses that has nothing to do, and how soon it answers when something comes after all. */
export async function idleSuite(
  { connections, seconds, firstRequests, servers: names = SERVERS }: IdleOptions,
  onProgress: OnProgress,
): Promise<SuiteResult> {
  const rows: Row[] = [];
  // One at a time: an idle server is measured by what its host's process uses, which is the same for all.
  for (const name of names) {
    onProgress(name);
    const [server] = await startEchoServers([name]);
    try {
      rows.push(await measure(server as EchoServer, connections, seconds, firstRequests));
    } finally {
      await server?.end();
    }
  }
  return { suite: 'idle', rows };
}

/** How many steps {@link idleSuite} tells of. */
export const IDLE_STEPS: number = SERVERS.length;

async function measure(
  server: EchoServer,
  connections: number,
  seconds: number,
  firstRequests: number,
): Promise<Row> {
  const exchange = (requests: number) =>
    server.run({ connections, active: 1, bytes: MESSAGE_BYTES, requests, sampleEvery: 1 });
  const busy = median((await exchange(BUSY_REQUESTS)).latency);
  await delay(IDLE_MILLISECONDS);
  const before = server.processorMicroseconds();
  await delay(seconds * 1000);
  const used = server.processorMicroseconds() - before;
  const firsts: number[] = [];
  for (let count = 0; count < firstRequests; count++) {
    await delay(IDLE_MILLISECONDS);
    firsts.push((await exchange(1)).latency[0] as number);
  }
  return {
    name: server.name,
    idle_connections: connections,
    processor_percent: rounded((used / (seconds * 1e6)) * 100, 2),
    busy_p50_us: rounded(busy, 1),
    first_after_idle_p50_us: rounded(median(firsts), 1),
    first_more_than_busy_us: rounded(median(firsts) - busy, 1),
  };
}
