import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { Account } from './account.ts';
import type { Words } from './checksum.ts';
import { type Address, Connection, type PreparedConnection } from './connection.ts';
import { checkModel } from './replies.ts';
import { checkWork, WorkError } from './requests.ts';

export { prepareTrace, type Trace, verifyTrace } from './trace.ts';

export interface ClientOptions extends Address {
  /** Pre-shared with the server: `VERIFICATION_BYTES` bytes. */
  readonly verification: Uint8Array;
  readonly connections: number;
  /** Requests on their way at a time on each connection. */
  readonly window: number;
  /** Requests of each run, over all connections. */
  readonly requests: number;
  /** Items of each request, one run for each number, one behind the other on the same model. */
  readonly items: readonly number[];
  /** Keys of the model, which is empty at the start. */
  readonly keys: number;
  readonly seed: number;
  /** Whether to ask the server to stop at the end. */
  readonly stop: boolean;
}

export interface Run {
  readonly items: number;
  readonly requests: number;
  /** From the first request to the last reply. */
  readonly seconds: number;
  readonly requestsPerSecond: number;
  /** From sending a request to its reply, in microseconds. */
  readonly latency: {
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly max: number;
  };
}

export interface Report {
  readonly runs: readonly Run[];
  /** Of the whole model, equal on both sides. */
  readonly checksum: Words;
}

/** Connections of one client at most: each has its requests and two buffers in memory. */
export const MAXIMUM_CONNECTIONS = 1024;
/** Requests on their way on one connection at most; beyond some dozens a window hides nothing more. */
export const MAXIMUM_WINDOW = 1024;
/** Keys of a model at most: the account takes 9 bytes for each. */
export const MAXIMUM_KEYS: number = 2 ** 27;

/**
 * Updates random items of a parameter server and keeps its own account of them. After each run the checksum of
 * the server's whole model must equal that of the account, or the run fails with an `OracleError`.
 */
export async function runClient(options: ClientOptions): Promise<Report> {
  checkOptions(options);
  const account = new Account(options.keys);
  const runs: Run[] = [];
  let checksum: Words = account.checksum();
  for (const [index, items] of options.items.entries()) {
    const stop = options.stop && index === options.items.length - 1;
    const connections = await prepareConnections(options, items, index, account);
    try {
      runs.push(await play(connections, options, items));
      checksum = account.checksum();
      checkModel(await connections[0]!.checksum(), checksum);
    } finally {
      await Promise.all(connections.map((connection, position) => connection.close(stop && position === 0)));
    }
  }
  return { runs, checksum };
}

/** Opens the connections of a run and shares its requests out among them. */
async function prepareConnections(
  { connections: count, requests, seed, ...server }: ClientOptions,
  items: number,
  run: number,
  account: Account,
): Promise<PreparedConnection[]> {
  const opened: PreparedConnection[] = [];
  try {
    for (let index = 0; index < count; index += 1) {
      const share = Math.floor((requests * (index + 1)) / count) - Math.floor((requests * index) / count);
      const connection = await Connection.open({ host: server.host, port: server.port }, server.verification);
      opened.push(connection.prepare({ requests: share, items, seed }, run * count + index, account));
    }
    return opened;
  } catch (error) {
    await Promise.all(opened.map((connection) => connection.close(false)));
    throw error;
  }
}

async function play(
  connections: readonly PreparedConnection[],
  { requests, window }: ClientOptions,
  items: number,
): Promise<Run> {
  const latency = createHistogram();
  const start = performance.now();
  await Promise.all(connections.map((connection) => connection.play(window, latency)));
  const seconds = (performance.now() - start) / 1000;
  return { items, requests, seconds, requestsPerSecond: requests / seconds, latency: summarize(latency) };
}

function summarize(latency: RecordableHistogram): Run['latency'] {
  const microseconds = (percentile: number) => latency.percentile(percentile) / 1000;
  return {
    p50: microseconds(50),
    p90: microseconds(90),
    p99: microseconds(99),
    max: latency.max / 1000,
  };
}

function checkOptions({ connections, window, requests, items, keys, seed }: ClientOptions): void {
  const limits: [string, number, number][] = [
    ['connections', connections, MAXIMUM_CONNECTIONS],
    ['window', window, MAXIMUM_WINDOW],
    ['keys', keys, MAXIMUM_KEYS],
  ];
  for (const [name, value, maximum] of limits) {
    if (!Number.isInteger(value) || value < 1 || value > maximum) {
      throw new WorkError(`${name} must be 1 to ${maximum}`);
    }
  }
  if (requests < connections) throw new WorkError('there must be a request for each connection at least');
  for (const count of items) checkWork({ requests: Math.ceil(requests / connections), items: count, seed });
  if (items.length === 0) throw new WorkError('items must name one number of items at least');
}
