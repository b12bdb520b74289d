import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { type Command, InvalidArgumentError as InvalidOption, Option } from 'commander';
import type { TopLevelSpec } from 'vega-lite';
import { CALL_STEPS, callSuite } from '../bench/call.ts';
import { COPY_STEPS, copySuite } from '../bench/copy.ts';
import { CROSSOVER_FULL, crossoverSteps, crossoverSuite } from '../bench/crossover.ts';
import { ENGINES_STEPS, enginesSuite } from '../bench/engines.ts';
import { drawFigure } from '../bench/figure.ts';
import { FILES_STEPS, filesSuite } from '../bench/files.ts';
import { LAUNCH_STEPS, launchSuite } from '../bench/launch.ts';
import { MEMORY_STEPS, memorySuite } from '../bench/memory.ts';
import { FIGURE_MODELS_MIB, memoryFigure, memorySeries } from '../bench/memory-figure.ts';
import {
  type ParameterServerResult,
  parameterServerSteps,
  parameterServerSuite,
} from '../bench/parameter-server.ts';
import { parameterServerFigure } from '../bench/parameter-server-figure.ts';
import { parameterServerSeries } from '../bench/parameter-server-series.ts';
import { PROFILE_FULL, profileSteps, profileSuite } from '../bench/profile.ts';
import { Progress } from '../bench/progress.ts';
import { PROTECTED_FILES_STEPS, protectedFilesSuite } from '../bench/protected-files.ts';
import { tableOf } from '../bench/row-table.ts';
import { START_FULL, startSteps, startSuite } from '../bench/start.ts';
import type { Row, SuiteResult } from '../bench/suite.ts';
import { formatTable } from '../bench/table.ts';
import { THREADS_FULL, threadsSteps, threadsSuite } from '../bench/threads.ts';
import { addEchoSuites } from './bench-echo.ts';

const FIGURE_FOLDER = 'out';
/** Requests played from memory for each one over the network: they take a fraction of the time. */
const MEMORY_REQUESTS = 10;
/** Of each model: what a play costs once is then little beside them. */
const MEMORY_FIGURE_REQUESTS = 120_000;
/** The published experiment's. */
const MODEL_MIB = 2;
/** Keys of the client's account are numbered in 32 bits, and it holds nine bytes for each. */
const MODEL_MIB_MAX = 4096;

/** `sgxio bench`: measurements, each suite in one interleaved run. */
export function addBench(program: Command): void {
  const bench = program
    .command('bench')
    .description('measure this machine: tables for people, one JSON document for machines')
    .addHelpText(
      'after',
      `
Examples:
  $ sgxio bench call                                  what one call costs, every way
  $ sgxio bench parameter-server --items 1,8,64       the experiment of the talk
  $ sgxio bench parameter-server --wire memory --json without the kernel's network
  $ sgxio bench echo                                  a server in an enclave beside one of Node`,
    );
  bench
    .command('call')
    .description('a call that does nothing, from the bare exchange of two words to postMessage')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(CALL_STEPS, json, callSuite);
    });
  bench
    .command('launch')
    .description('a launch that does nothing: round trips, queues of many, and a graph')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(LAUNCH_STEPS, json, launchSuite);
    });
  bench
    .command('copy')
    .description('copies into private memory and out of it, and beside a computation')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(COPY_STEPS, json, copySuite);
    });
  bench
    .command('protected-files')
    .description(
      'protected files and SQLite in an enclave, beside plain files, node:fs, and gocryptfs if installed',
    )
    .option('--json', 'print one JSON document')
    .option('--folder <folder>', 'where files are laid: on the disk to be measured')
    .option('--megabytes <number>', 'size of the file that is larger than the cache', parseCount, 64)
    .option('--rounds <number>', 'rounds of each figure', parseCount, 5)
    .action(
      async ({ json, ...options }: { json?: true; folder?: string; megabytes: number; rounds: number }) => {
        await run(PROTECTED_FILES_STEPS, json, (tell) => protectedFilesSuite(options, tell));
      },
    );
  bench
    .command('start')
    .description('how long until a program runs, in Node and in an enclave')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(startSteps(START_FULL.rounds), json, (tell) => startSuite(START_FULL, tell));
    });
  bench
    .command('threads')
    .description('calls and launches of an enclave by the number of its threads')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(threadsSteps(THREADS_FULL.rounds), json, (tell) => threadsSuite(THREADS_FULL, tell));
    });
  bench
    .command('profile')
    .description('what the time of one call without an exit is made of')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(profileSteps(PROFILE_FULL.rounds), json, (tell) => profileSuite(PROFILE_FULL, tell));
    });
  bench
    .command('crossover')
    .description('where calls without exits do not pay: large transfers, cores taken, the cheapest call')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(crossoverSteps(CROSSOVER_FULL.rounds), json, (tell) => crossoverSuite(CROSSOVER_FULL, tell));
    });
  bench
    .command('files')
    .description('reads of a file, from the page cache and from the disk, against node:fs')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(FILES_STEPS, json, filesSuite);
    });
  bench
    .command('engines')
    .description('reads and writes that wait for the disk: threads that block against io_uring')
    .option('--json', 'print one JSON document')
    .action(async ({ json }: { json?: true }) => {
      await run(ENGINES_STEPS, json, enginesSuite);
    });
  bench
    .command('parameter-server')
    .description('encrypted updates of a private model under every strategy')
    .option('--json', 'print one JSON document')
    .option('--items <list>', 'items that each request updates', parseCounts, [1, 2, 4, 8, 16, 32, 64])
    .option('--requests <number>', 'requests of each point', parseCount, 3000)
    .option('--wire <wire>', 'tcp from another process, or memory', parseWire, 'tcp')
    .option('--model-mib <number>', 'size of the model; beyond 62 it is paged', parseModel, MODEL_MIB)
    .addOption(
      new Option(
        '--figure [of]',
        `a figure of both wires, or of models of several sizes, in ${FIGURE_FOLDER}/`,
      )
        .choices(['items', 'memory'])
        .preset('items'),
    )
    .action(benchParameterServer);
  addEchoSuites(bench, run, parseCount, parseCounts);
  bench
    .command('memory')
    .description('secure memory against plain memory and the bare cipher')
    .option('--json', 'print one JSON document')
    .option('--quick', 'small data and few rounds: a first look')
    .option(
      '--figure',
      `models of several sizes in the parameter server: ${FIGURE_FOLDER}/memory.svg, .png and .json`,
    )
    .action(async ({ json, quick, figure }: { json?: true; quick?: true; figure?: true }) => {
      if (figure === true) return memoryExperiment();
      await run(MEMORY_STEPS, json, (tell) => memorySuite({ size: quick === true ? 'quick' : 'full' }, tell));
    });
}

interface ParameterServerFlags {
  readonly json?: true;
  readonly items: number[];
  readonly requests: number;
  readonly wire: 'tcp' | 'memory';
  readonly modelMib: number;
  readonly figure?: 'items' | 'memory';
}

async function benchParameterServer({ json, figure, ...options }: ParameterServerFlags): Promise<void> {
  if (figure === 'items') return experiment(options.items, options.requests);
  if (figure === 'memory') return memoryExperiment();
  await run(parameterServerSteps(options), json, (tell) => parameterServerSuite(options, tell));
}

/** The whole experiment: over the kernel's network, then the boundary alone, then the figure of both. */
async function experiment(items: readonly number[], requests: number): Promise<void> {
  console.log('Encrypted updates of a private model, from a client process over TCP:\n');
  const steps = parameterServerSteps({ modelMib: MODEL_MIB });
  const tcp = await run(steps, undefined, (tell) =>
    parameterServerSuite({ items, requests, wire: 'tcp', modelMib: MODEL_MIB }, tell),
  );
  console.log('The same requests played from memory by the host: the boundary alone, without a network.\n');
  const memory = await run(steps, undefined, (tell) =>
    parameterServerSuite(
      { items, requests: requests * MEMORY_REQUESTS, wire: 'memory', modelMib: MODEL_MIB },
      tell,
    ),
  );
  await writeFigure(tcp, memory);
}

/** One update a request, in models that fit in private memory and that do not, then the figure. */
async function memoryExperiment(): Promise<void> {
  const results: ParameterServerResult[] = [];
  for (const modelMib of FIGURE_MODELS_MIB) {
    console.log(`A model of ${modelMib} MiB, one update a request:\n`);
    const options = {
      items: [1],
      requests: MEMORY_FIGURE_REQUESTS,
      wire: 'memory',
      modelMib,
    } as const;
    results.push(
      await run(parameterServerSteps(options), undefined, (tell) => parameterServerSuite(options, tell)),
    );
  }
  const series = memorySeries(results);
  await writeFiles('memory', memoryFigure(series), { results, series });
}

/** Runs a suite; progress goes to standard error, results alone to standard output. */
async function run<Result extends SuiteResult>(
  steps: number,
  json: true | undefined,
  suite: (tell: (what: string) => void) => Promise<Result>,
): Promise<Result> {
  const progress = new Progress(process.stderr, steps);
  const result = await suite((what) => progress.step(what));
  progress.end();
  if (json === true) console.log(JSON.stringify(result));
  else console.log(describe(result.rows));
  return result;
}

/** A table for the rows of each kind, where they are of several. */
function describe(rows: readonly Row[]): string {
  const kinds = [...new Set(rows.map((row) => row['what']))];
  return kinds
    .map((kind) => tableOf(rows.filter((row) => row['what'] === kind)))
    .map(({ columns, cells }) => formatTable(columns, cells))
    .join('\n');
}

async function writeFigure(tcp: ParameterServerResult, memory: ParameterServerResult): Promise<void> {
  const { series, subtitle } = parameterServerSeries(memory);
  await writeFiles('parameter-server', parameterServerFigure(series, subtitle), { tcp, memory, series });
}

async function writeFiles(figure: string, spec: TopLevelSpec, numbers: object): Promise<void> {
  const { svg, png } = await drawFigure(spec);
  await mkdir(FIGURE_FOLDER, { recursive: true });
  const name = join(FIGURE_FOLDER, figure);
  await writeFile(`${name}.svg`, svg);
  await writeFile(`${name}.png`, png);
  await writeFile(`${name}.json`, `${JSON.stringify(numbers, null, 2)}\n`);
  console.log(`Every update was applied exactly once, in every run.
The figure: ${name}.svg and ${name}.png; all numbers: ${name}.json`);
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidOption('It takes a whole number from 1.');
  return Number(text);
}

function parseModel(text: string): number {
  const mib = parseCount(text);
  if (mib > MODEL_MIB_MAX) throw new InvalidOption(`It is ${MODEL_MIB_MAX} at most.`);
  return mib;
}

function parseCounts(text: string): number[] {
  return text.split(',').map(parseCount);
}

function parseWire(text: string): 'tcp' | 'memory' {
  if (text !== 'tcp' && text !== 'memory') throw new InvalidOption('It is tcp or memory.');
  return text;
}
