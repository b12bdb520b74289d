import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { type Command, InvalidArgumentError as InvalidOption } from 'commander';
import { CALL_STEPS, callSuite } from '../bench/call.ts';
import { COPY_STEPS, copySuite } from '../bench/copy.ts';
import { ENGINES_STEPS, enginesSuite } from '../bench/engines.ts';
import { drawFigure } from '../bench/figure.ts';
import { FILES_STEPS, filesSuite } from '../bench/files.ts';
import { LAUNCH_STEPS, launchSuite } from '../bench/launch.ts';
import {
  PARAMETER_SERVER_STEPS,
  type ParameterServerResult,
  parameterServerSuite,
} from '../bench/parameter-server.ts';
import { parameterServerFigure } from '../bench/parameter-server-figure.ts';
import { parameterServerSeries } from '../bench/parameter-server-series.ts';
import { Progress } from '../bench/progress.ts';
import type { Row, SuiteResult } from '../bench/suite.ts';
import { formatTable } from '../bench/table.ts';

const FIGURE_FOLDER = 'out';
/** Requests played from memory for each one over the network: they take a fraction of the time. */
const MEMORY_REQUESTS = 4;

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
  $ sgxio bench parameter-server --wire memory --json without the kernel's network`,
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
    .option('--figure', `both wires, and the figure: ${FIGURE_FOLDER}/parameter-server.svg, .png and .json`)
    .action(benchParameterServer);
}

interface ParameterServerFlags {
  readonly json?: true;
  readonly items: number[];
  readonly requests: number;
  readonly wire: 'tcp' | 'memory';
  readonly figure?: true;
}

async function benchParameterServer({ json, figure, ...options }: ParameterServerFlags): Promise<void> {
  if (figure === true) return experiment(options.items, options.requests);
  await run(PARAMETER_SERVER_STEPS, json, (tell) => parameterServerSuite(options, tell));
}

/** The whole experiment: over the kernel's network, then the boundary alone, then the figure of both. */
async function experiment(items: readonly number[], requests: number): Promise<void> {
  console.log('Encrypted updates of a private model, from a client process over TCP:\n');
  const tcp = await run(PARAMETER_SERVER_STEPS, undefined, (tell) =>
    parameterServerSuite({ items, requests, wire: 'tcp' }, tell),
  );
  console.log('The same requests played from memory by the host: the boundary alone, without a network.\n');
  const memory = await run(PARAMETER_SERVER_STEPS, undefined, (tell) =>
    parameterServerSuite({ items, requests: requests * MEMORY_REQUESTS, wire: 'memory' }, tell),
  );
  await writeFigure(tcp, memory);
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
  console.log(json === true ? JSON.stringify(result) : describe(result.rows));
  return result;
}

/** One column for each figure that any row has. */
function describe(rows: readonly Row[]): string {
  const flat = rows.map((row) => Object.entries(row).flatMap(([key, value]) => flatten(key, value)));
  const names = [...new Set(flat.flatMap((row) => row.map(([name]) => name)))];
  const columns = names.map((name) => ({
    title: name.replaceAll('_', ' '),
    align: flat.some((row) => row.some(([key, value]) => key === name && typeof value === 'string'))
      ? 'left'
      : 'right',
  })) as { title: string; align: 'left' | 'right' }[];
  const cells = flat.map((row) => {
    const values = new Map(row);
    return names.map((name) => String(values.get(name) ?? ''));
  });
  return formatTable(columns, cells);
}

function flatten(key: string, value: Row[string]): [string, number | string | boolean][] {
  if (typeof value !== 'object') return [[key, value]];
  return Object.entries(value).map(([inner, figure]) => [`${inner} ${key}`, figure]);
}

async function writeFigure(tcp: ParameterServerResult, memory: ParameterServerResult): Promise<void> {
  const { series, subtitle } = parameterServerSeries(memory);
  const { svg, png } = await drawFigure(parameterServerFigure(series, subtitle));
  await mkdir(FIGURE_FOLDER, { recursive: true });
  const name = join(FIGURE_FOLDER, 'parameter-server');
  await writeFile(`${name}.svg`, svg);
  await writeFile(`${name}.png`, png);
  await writeFile(`${name}.json`, `${JSON.stringify({ tcp, memory, series }, null, 2)}\n`);
  console.log(`Every update was applied exactly once, in every run.
The figure: ${name}.svg and ${name}.png; all numbers: ${name}.json`);
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidOption('It takes a whole number from 1.');
  return Number(text);
}

function parseCounts(text: string): number[] {
  return text.split(',').map(parseCount);
}

function parseWire(text: string): 'tcp' | 'memory' {
  if (text !== 'tcp' && text !== 'memory') throw new InvalidOption('It is tcp or memory.');
  return text;
}
