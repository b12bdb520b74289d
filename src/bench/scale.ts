import { type EchoServer, startEchoServers } from './echo-servers.ts';
import { median } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface ScaleOptions {
  /** Open connections: a row for each number and server, from few to many. */
  readonly connections: readonly number[];
  /** Of these, how many have a message on its way. */
  readonly active: number;
  readonly requests: number;
  readonly rounds: number;
  readonly servers?: readonly string[];
}

const SERVERS: readonly string[] = ['exitless', 'direct', 'node:net'];
const MESSAGE_BYTES = 64;

/** Whether a request costs the same however many connections are open. */
export async function scaleSuite(
  { connections, active, requests, rounds, servers: names = SERVERS }: ScaleOptions,
  onProgress: OnProgress,
): Promise<SuiteResult> {
  const servers = await startEchoServers(names);
  const rows: Row[] = [];
  try {
    // Connections stay open, so their number only grows; the servers take turns at each number.
    for (const open of connections) {
      const samples = new Map<EchoServer, Sample[]>(servers.map((server) => [server, []]));
      for (let round = 0; round <= rounds; round++) {
        onProgress(`${open} connections, ${round === 0 ? 'warm-up' : `round ${round} of ${rounds}`}`);
        for (const [server, taken] of samples) {
          const sample = await measure(server, open, Math.min(active, open), requests);
          if (round > 0) taken.push(sample);
        }
      }
      for (const [{ name }, taken] of samples) rows.push(row(name, open, taken));
    }
  } finally {
    for (const server of servers) await server.end();
  }
  return { suite: 'scale', rows };
}

/** How many steps {@link scaleSuite} tells of. */
export function scaleSteps(connections: readonly number[], rounds: number): number {
  return connections.length * (rounds + 1);
}

interface Sample {
  readonly microseconds: number;
  readonly processorMicroseconds: number;
}

async function measure(
  server: EchoServer,
  connections: number,
  active: number,
  requests: number,
): Promise<Sample> {
  await server.run({ connections, active, bytes: MESSAGE_BYTES, requests: active });
  const before = server.processorMicroseconds();
  const report = await server.run({ connections, active, bytes: MESSAGE_BYTES, requests });
  const after = server.processorMicroseconds();
  return {
    microseconds: (report.seconds * 1e6) / report.requests,
    processorMicroseconds: (after - before) / report.requests,
  };
}

function row(name: string, connections: number, samples: readonly Sample[]): Row {
  return {
    name,
    connections,
    us_per_request: rounded(median(samples.map(({ microseconds }) => microseconds)), 2),
    processor_us_per_request: rounded(
      median(samples.map(({ processorMicroseconds }) => processorMicroseconds)),
      2,
    ),
  };
}
