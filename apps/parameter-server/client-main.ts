import process from 'node:process';
import { parseArgs } from 'node:util';
import { VERIFICATION_BYTES } from './agreement.ts';
import { formatWords } from './checksum.ts';
import { type ClientOptions, type Report, runClient } from './client.ts';
import { WorkError } from './requests.ts';

/**
 * The client as a program. It needs no privilege and no enclave. The pre-shared verification value comes in the
 * environment, where other users do not see it, as hexadecimal digits.
 */
const VERIFICATION_VARIABLE = 'PARAMETER_SERVER_VERIFICATION';

const USAGE = `Usage: ${VERIFICATION_VARIABLE}=<hex> node client-main.js --port <port> [options]

  --host <name>         where the server is (127.0.0.1)
  --connections <n>     connections (1)
  --window <n>          requests on their way on each connection (16)
  --requests <n>        requests of each run (10000)
  --items <n,n,…>       items of each request: a run for each number (1)
  --keys <n>            keys of the model (65536)
  --seed <n>            what the random updates come from (1)
  --stop                ask the server to stop at the end
  --json                print one JSON document
`;

function parse(): { options: ClientOptions; json: boolean } | undefined {
  const text = (value: string) => ({ type: 'string', default: value }) as const;
  const { values } = parseArgs({
    options: {
      host: text('127.0.0.1'),
      port: { type: 'string' },
      connections: text('1'),
      window: text('16'),
      requests: text('10000'),
      items: text('1'),
      keys: text('65536'),
      seed: text('1'),
      stop: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const options: ClientOptions = {
    host: values.host,
    port: parsePort(values.port),
    verification: parseVerification(process.env[VERIFICATION_VARIABLE]),
    connections: parseCount('connections', values.connections),
    window: parseCount('window', values.window),
    requests: parseCount('requests', values.requests),
    items: values.items.split(',').map((count) => parseCount('items', count)),
    keys: parseCount('keys', values.keys),
    seed: parseCount('seed', values.seed),
    stop: values.stop,
  };
  return { options, json: values.json };
}

function parseCount(name: string, value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new WorkError(`--${name} takes a whole number, not "${value}"`);
  return Number(value);
}

function parsePort(value: string | undefined): number {
  const port = parseCount('port', value ?? '');
  if (port < 1 || port > 65_535) throw new WorkError('--port must be 1 to 65535');
  return port;
}

function parseVerification(value: string | undefined): Uint8Array {
  if (value !== undefined && /^[0-9a-f]*$/i.test(value) && value.length === 2 * VERIFICATION_BYTES) {
    return Buffer.from(value, 'hex');
  }
  throw new WorkError(
    `set ${VERIFICATION_VARIABLE} to the ${2 * VERIFICATION_BYTES} digits that the server has`,
  );
}

function toJson({ runs, checksum }: Report): unknown {
  const rows = runs.map(({ items, requests, seconds, requestsPerSecond, latency }) => ({
    items,
    requests,
    seconds,
    requests_per_second: requestsPerSecond,
    latency_us: latency,
  }));
  return { verified: true, checksum: formatWords(checksum), rows };
}

function print({ runs, checksum }: Report): void {
  for (const { items, requests, requestsPerSecond, latency } of runs) {
    const times = `${latency.p50.toFixed(1)} us p50, ${latency.p99.toFixed(1)} us p99`;
    console.log(
      `${requests} requests of ${items} items: ${Math.round(requestsPerSecond)} a second, ${times}`,
    );
  }
  console.log(`verified: every update was applied exactly once (checksum ${formatWords(checksum)})`);
}

try {
  const parsed = parse();
  if (parsed === undefined) {
    process.stdout.write(USAGE);
  } else {
    const report = await runClient(parsed.options);
    if (parsed.json) console.log(JSON.stringify(toJson(report)));
    else print(report);
  }
} catch (error) {
  console.error(`parameter-server client: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
