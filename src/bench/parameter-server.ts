import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { ModelKind } from '../../apps/parameter-server/server.ts';
import { traceKey } from '../../apps/parameter-server/trace.ts';
import { VERDICT_PATH, type WireWork, wirePath } from '../../apps/parameter-server/wire-services.ts';
import { EnclaveError } from '../errors.ts';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import type { Image } from '../image/image.ts';
import { processorMicroseconds } from './processor-time.ts';
import { median, spreadOf } from './statistics.ts';
import { type Contender, contenders } from './strategies.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface ParameterServerOptions {
  /** Items that a request updates: one point of the figure each. */
  readonly items: readonly number[];
  /** Requests of each point, over all rounds. */
  readonly requests: number;
  /** The kernel's network from another process, or requests that the host plays from memory. */
  readonly wire: 'tcp' | 'memory';
  /** Size of the model; what is beyond private memory is paged. */
  readonly modelMib: number;
}

export interface ParameterServerResult extends SuiteResult {
  readonly suite: 'parameter-server';
  readonly wire: 'tcp' | 'memory';
  readonly modelMib: number;
  /** Whether every update was applied exactly once, in every run. Else the suite throws. */
  readonly verified: true;
}

const MEBIBYTE = 1024 * 1024;
/** Not quite half of what has room. */
const KEYS_A_MIB = 30_000;
const SEED = 1;
const CONNECTIONS = 8;
/** A request waits for the reply before it: one receive and one send each, as in the published experiment. */
const WINDOW = 1;
const ROUNDS = 3;
const MICROSECONDS_A_SECOND = 1e6;
/** Private memory at most: less than the EPC of the published experiment. */
const PRIVATE_MIB_MAX = 64;
/** Of it, for what is not the model: for each connection two buffers and a key. */
const CONNECTIONS_MIB = 2;

/** One point of one round. */
interface Sample {
  readonly contender: Contender;
  readonly items: number;
  readonly microseconds: number;
  readonly serverProcessor?: number;
  readonly workerProcessor?: number;
  readonly latency?: { readonly p50: number; readonly p99: number };
}

/** The parameter server of the talk under every strategy, in turn, several rounds. */
export async function parameterServerSuite(
  options: ParameterServerOptions,
  onProgress: OnProgress,
): Promise<ParameterServerResult> {
  const { items, wire, modelMib } = options;
  const requests = Math.max(1, Math.ceil(options.requests / ROUNDS));
  const works = items.map((count) => ({ requests, items: count, seed: SEED, keys: KEYS_A_MIB * modelMib }));
  const warmUp: WireWork = { requests: 20_000, items: 8, seed: SEED, keys: KEYS_A_MIB * modelMib };
  const image = await buildServer([warmUp, ...works], modelMib);
  const samples: Sample[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const contender of contendersFor(modelMib)) {
      onProgress(`round ${round + 1} of ${ROUNDS}: ${contender.label}`);
      const model = modelFor(contender, modelMib);
      const played =
        wire === 'tcp'
          ? playTcp(image, contender, model, works)
          : playMemory(image, contender, model, [warmUp, ...works]);
      samples.push(...(await played));
    }
  }
  return { suite: 'parameter-server', wire, modelMib, verified: true, rows: rowsOf(samples, items) };
}

function isPaged(modelMib: number): boolean {
  return modelMib + CONNECTIONS_MIB > PRIVATE_MIB_MAX;
}

function privateMib(modelMib: number): number {
  return Math.min(modelMib + CONNECTIONS_MIB, PRIVATE_MIB_MAX);
}

/** Beyond private memory SGX would page as well, so an exit alone is no model of it. */
function contendersFor(modelMib: number): readonly Contender[] {
  return isPaged(modelMib) ? contenders.filter(({ model }) => model === undefined) : contenders;
}

/** What `prepare` is launched with. */
type Model = [bytes: number, kind: ModelKind, privateBytes: number];

function modelFor({ strategy }: Contender, modelMib: number): Model {
  const privateBytes = (privateMib(modelMib) - CONNECTIONS_MIB) * MEBIBYTE;
  if (!isPaged(modelMib)) return [modelMib * MEBIBYTE, 'open-addressing', privateBytes];
  return [modelMib * MEBIBYTE, strategy === 'direct' ? 'unprotected' : 'secure', privateBytes];
}

async function buildServer(works: readonly WireWork[], modelMib: number): Promise<Image> {
  return await buildImage(path('server.js'), {
    name: 'parameter-server',
    privateMemoryBytes: privateMib(modelMib) * MEBIBYTE,
    // Beside the pages of the model their tags and versions.
    storeBytes: isPaged(modelMib) ? Math.ceil(modelMib * 1.02 + 1) * MEBIBYTE : 0,
    grants: {
      listen: ['tcp:127.0.0.1:0'],
      connect: [VERDICT_PATH, ...works.map(wirePath)].map((wire) => `unix:${wire}`),
    },
  });
}

/** How many steps {@link parameterServerSuite} tells of. */
export function parameterServerSteps({ modelMib }: Pick<ParameterServerOptions, 'modelMib'>): number {
  return ROUNDS * contendersFor(modelMib).length;
}

function path(file: string): string {
  return fileURLToPath(new URL(`../../apps/parameter-server/${file}`, import.meta.url));
}

async function playTcp(
  image: Image,
  contender: Contender,
  model: Model,
  works: readonly WireWork[],
): Promise<Sample[]> {
  await using enclave = await Enclave.create(image, contender.options);
  await enclave.launch('prepare', ...model);
  const port = await enclave.launch('open', '127.0.0.1', 0);
  const verification = randomBytes(32);
  const served = enclave.launch('serve', new Uint8Array(verification));
  const samples: Sample[] = [];
  // The first run warms both sides up and is not counted.
  const report = await runClient(Number(port), verification, [works[0]!, ...works], enclave);
  for (const run of report.runs.slice(1)) {
    samples.push({
      contender,
      items: run.items,
      microseconds: (run.seconds * MICROSECONDS_A_SECOND) / run.requests,
      serverProcessor: report.serverProcessor,
      workerProcessor: report.workerProcessor,
      latency: run.latency,
    });
  }
  await served;
  return samples;
}

interface ClientRun {
  readonly items: number;
  readonly requests: number;
  readonly seconds: number;
  readonly latency: { readonly p50: number; readonly p99: number };
}

interface ClientReport {
  readonly runs: readonly ClientRun[];
  /** Processor time a request took on average over all runs, in microseconds: of the server's process, and of its host's. */
  readonly serverProcessor: number;
  readonly workerProcessor: number;
}

/** The client is a process of its own; it fails unless its account and the server's model agree. */
async function runClient(
  port: number,
  verification: Uint8Array,
  works: readonly WireWork[],
  server: Enclave,
): Promise<ClientReport> {
  const { requests, keys } = works[0]!;
  const pid = server.pid as number;
  const before = { server: processorMicroseconds(pid), host: process.cpuUsage() };
  const child = spawn(
    process.execPath,
    [
      path('client-main.js'),
      '--port',
      port,
      '--connections',
      CONNECTIONS,
      '--window',
      WINDOW,
      '--requests',
      requests,
      '--items',
      works.map(({ items }) => items).join(','),
      '--keys',
      keys,
      '--seed',
      SEED,
      '--stop',
      '--json',
    ].map(String),
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PARAMETER_SERVER_VERIFICATION: Buffer.from(verification).toString('hex') },
    },
  );
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if ((await closed) !== 0)
    throw new EnclaveError(
      'SGXIO_ENCLAVE_FAILED',
      `the client of the parameter server failed: ${errors.trim()}`,
    );
  const { user, system } = process.cpuUsage(before.host);
  const total = requests * works.length;
  const after = processorMicroseconds(pid);
  const { rows } = JSON.parse(output) as { rows: ClientRun[] };
  return {
    runs: rows,
    serverProcessor: (after - before.server) / total,
    workerProcessor: (user + system) / total,
  };
}

/** The first work is played and not counted: code that was not yet compiled would be timed as if it were the boundary. */
async function playMemory(
  image: Image,
  contender: Contender,
  model: Model,
  works: readonly WireWork[],
): Promise<Sample[]> {
  const services = { module: new URL('../../apps/parameter-server/wire-services.js', import.meta.url).href };
  await using enclave = await Enclave.create(image, { ...contender.options, services });
  const samples: Sample[] = [];
  for (const work of works) {
    samples.push({ contender, items: work.items, microseconds: await playOne(enclave, model, work) });
  }
  return samples.slice(1);
}

/** Of each wire, the part that is served before the clock starts: threads find their cores and code its form. */
const UNTIMED_PART = 0.25;

/** Plays one wire on an empty model, checks every reply, and says how many microseconds a request took. */
async function playOne(enclave: Enclave, model: Model, played: WireWork): Promise<number> {
  await enclave.launch('prepare', ...model);
  const untimed = Math.floor(played.requests * UNTIMED_PART);
  const { timed, milliseconds } = (await enclave.launch(
    'play',
    wirePath(played),
    traceKey(played),
    untimed,
  )) as { timed: number; milliseconds: number };
  const verdict = await enclave.launch('verdict', VERDICT_PATH);
  if (verdict === 'verified') return (milliseconds * 1000) / Math.max(timed, 1);
  throw new EnclaveError('SGXIO_ENCLAVE_FAILED', `the replies of the parameter server are wrong: ${verdict}`);
}

/** Medians over the rounds, and how many times longer than `direct` each took. */
function rowsOf(samples: readonly Sample[], items: readonly number[]): Row[] {
  const rows: Row[] = [];
  for (const count of items) {
    const here = samples.filter((sample) => sample.items === count);
    const direct = median(
      here.filter((sample) => sample.contender.strategy === 'direct').map((sample) => sample.microseconds),
    );
    for (const contender of new Set(here.map((sample) => sample.contender))) {
      const own = here.filter((sample) => sample.contender === contender);
      rows.push(rowOf(contender, count, own, direct));
    }
  }
  return rows;
}

function rowOf(contender: Contender, items: number, samples: readonly Sample[], direct: number): Row {
  const microseconds = median(samples.map((sample) => sample.microseconds));
  const latency = samples.flatMap((sample) => sample.latency ?? []);
  const all = samples.map((sample) => sample.microseconds);
  return {
    items,
    strategy: contender.strategy,
    ...(contender.model === undefined ? {} : { model: contender.model }),
    requests_per_second: rounded(MICROSECONDS_A_SECOND / microseconds),
    server_us_per_request: rounded(microseconds, 3),
    server_us_least: rounded(Math.min(...all), 3),
    server_us_most: rounded(Math.max(...all), 3),
    slowdown: rounded(microseconds / direct, 3),
    spread: rounded(spreadOf(all), 3),
    ...(latency.length === 0
      ? {}
      : {
          latency_us: {
            p50: rounded(median(latency.map(({ p50 }) => p50)), 1),
            p99: rounded(median(latency.map(({ p99 }) => p99)), 1),
          },
          server_processor_us_per_request: rounded(
            median(samples.map((sample) => sample.serverProcessor ?? 0)),
            2,
          ),
          host_processor_us_per_request: rounded(
            median(samples.map((sample) => sample.workerProcessor ?? 0)),
            2,
          ),
        }),
  };
}
