/**
 * This machine against its committed baseline, baselines/<lane>.json. A figure that is slower than the tolerance
 * fails; with `--smoke`, in seconds, only one that is far slower and needs no second core, so that a busy machine
 * fails nothing. `--write` makes the figures of this run the baseline; do that on a machine that does nothing else.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { load } from './peers.mjs';

const SUITES = ['profile', 'call', 'launch', 'start'];
const SMOKE_SUITES = ['profile', 'start'];

const { values: flags } = parseArgs({
  options: { smoke: { type: 'boolean' }, write: { type: 'boolean' }, json: { type: 'boolean' } },
});
if (flags.smoke && flags.write) {
  console.error('regression: a smoke run is too short for a baseline; leave --smoke out');
  process.exit(2);
}
const { reportSuites } = await load('bench/report/suites.js');
const { Progress } = await load('bench/progress.js');
const { describeMachine, laneOf, machineLine } = await load('bench/machine.js');
const { baselineOf, compareFigures, watchedFigures } = await load('bench/regression.js');
const { tableOf } = await load('bench/row-table.js');
const { formatTable } = await load('bench/table.js');

const machine = describeMachine();
const lane = laneOf(machine);
const folder = new URL('./baselines/', import.meta.url);
const file = new URL(`${lane}.json`, folder);
const figures = watchedFigures(await measure());
if (flags.write) await write();
else await compare();

async function measure() {
  const size = flags.smoke ? 'smoke' : 'full';
  const names = flags.smoke ? SMOKE_SUITES : SUITES;
  const suites = reportSuites.filter(({ name }) => names.includes(name));
  const progress = new Progress(
    process.stderr,
    suites.reduce((sum, { steps }) => sum + steps(size), 0),
  );
  const results = [];
  for (const { name, run } of suites) {
    results.push(await run(size, (what) => progress.step(`${name}: ${what}`)));
  }
  progress.end();
  return results;
}

async function write() {
  await mkdir(folder, { recursive: true });
  const day = new Date().toISOString().slice(0, 10);
  await writeFile(file, `${JSON.stringify(baselineOf(figures, lane, day), null, 2)}\n`);
  console.log(`The baseline of this lane is now benchmarks/baselines/${lane}.json; commit it`);
}

async function compare() {
  const baseline = await readBaseline();
  const compared = compareFigures(figures, baseline, { strict: !flags.smoke });
  const failing = compared.filter(({ fails }) => fails);
  if (flags.json) console.log(JSON.stringify({ lane, machine, compared }));
  else {
    const { columns, cells } = tableOf(compared);
    console.log(`${machineLine(machine)}; load ${machine.load}; lane ${lane}\n`);
    console.log(formatTable(columns, cells));
    if (baseline === undefined)
      console.log('This lane has no baseline: nothing is compared. Make one with --write.');
    else if (failing.length === 0) console.log(`Nothing fails against the baseline of ${baseline.day}.`);
    else
      console.log(
        `Slower than the baseline of ${baseline.day}: ${failing.map(({ name }) => name).join('; ')}.`,
      );
  }
  if (failing.length > 0) process.exitCode = 1;
}

async function readBaseline() {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
