import { ECHO_SERVERS, type EchoServer, startEchoServers } from './echo-servers.ts';
import { median, spreadOf, summarize } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface EchoOptions {
  /** Connections with one message on its way each: a row for each number and server. */
  readonly connections: readonly number[];
  readonly bytes: number;
  /** Messages of one round. */
  readonly requests: number;
  readonly rounds: number;
  readonly servers?: readonly string[];
}

interface Sample {
  readonly requestsPerSecond: number;
  readonly processorMicroseconds: number;
  readonly p50: number;
  readonly p99: number;
}

/**
 * A TCP echo server: in an enclave, in place, and an unprotected one of Node's; each under the same client, a
 * process of its own, in turn, several rounds.
 */
export async function echoSuite(
  { connections, bytes, requests, rounds, servers: names = ECHO_SERVERS }: EchoOptions,
  onProgress: OnProgress,
): Promise<SuiteResult> {
  const servers = await startEchoServers(names);
  const samples = new Map<string, Sample[]>();
  try {
    for (let round = 0; round <= rounds; round++) {
      onProgress(round === 0 ? 'warm-up' : `round ${round} of ${rounds}`);
      for (const active of connections) {
        for (const server of servers) {
          const sample = await measure(server, active, bytes, requests);
          if (round === 0) continue;
          const key = keyOf(server.name, active);
          samples.set(key, [...(samples.get(key) ?? []), sample]);
        }
      }
    }
  } finally {
    for (const server of servers) await server.end();
  }
  const rows = connections.flatMap((active) =>
    servers.map(({ name }) => row(name, active, bytes, samples.get(keyOf(name, active)) as Sample[])),
  );
  return { suite: 'echo', rows };
}

/** How many steps {@link echoSuite} tells of, in so many rounds. */
export function echoSteps(rounds: number): number {
  return rounds + 1;
}

function keyOf(name: string, active: number): string {
  return `${name} ${active}`;
}

async function measure(server: EchoServer, active: number, bytes: number, requests: number): Promise<Sample> {
  const before = server.processorMicroseconds();
  const report = await server.run({ connections: active, active, bytes, requests });
  const after = server.processorMicroseconds();
  const { p50, p99 } = summarize(report.latency);
  return {
    requestsPerSecond: report.requests / report.seconds,
    processorMicroseconds: (after - before) / report.requests,
    p50,
    p99,
  };
}

function row(name: string, connections: number, bytes: number, samples: readonly Sample[]): Row {
  const of = (figure: keyof Sample, places: number): number =>
    rounded(median(samples.map((sample) => sample[figure])), places);
  return {
    name,
    connections,
    message_bytes: bytes,
    requests_per_s: of('requestsPerSecond', 0),
    p50_us: of('p50', 1),
    p99_us: of('p99', 1),
    processor_us_per_request: of('processorMicroseconds', 2),
    spread: rounded(spreadOf(samples.map(({ requestsPerSecond }) => requestsPerSecond)), 3),
  };
}
