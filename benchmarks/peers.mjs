/** What the comparisons share: sgxio as it is built, the versions of its peers, timing, and printing. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';

const built = new URL('../dist/src/', import.meta.url);
const NANOSECONDS_A_MILLISECOND = 1e6;
const QUICK_ROUNDS = 3;

/** A module of sgxio, by its path below src. */
export async function load(path) {
  try {
    return await import(new URL(path, built));
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Error('sgxio is not built; in the folder above run: npm ci && npm run build', { cause: error });
  }
}

export function builtUrl(path) {
  return new URL(path, built);
}

/** The version of a package as it is installed here; of sgxio itself with no name. */
export function versionOf(name) {
  const path = name === undefined ? '../package.json' : `./node_modules/${name}/package.json`;
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version;
}

/** Times a function call by call, in nanoseconds. */
export function timed(call) {
  return (count) => {
    const nanoseconds = new Float64Array(count);
    for (let index = 0; index < count; index++) {
      const began = performance.now();
      call(index);
      nanoseconds[index] = (performance.now() - began) * NANOSECONDS_A_MILLISECOND;
    }
    return nanoseconds;
  };
}

export function timedAsync(call) {
  return async (count) => {
    const nanoseconds = new Float64Array(count);
    for (let index = 0; index < count; index++) {
      const began = performance.now();
      await call(index);
      nanoseconds[index] = (performance.now() - began) * NANOSECONDS_A_MILLISECOND;
    }
    return nanoseconds;
  };
}

/** Processor time of this process with all its threads, in nanoseconds. */
export function ownProcessor() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** Of this process and an enclave's. */
export function processorWith(enclave, processorNanoseconds) {
  return async () => ownProcessor() + (await processorNanoseconds(enclave.pid));
}

/** `--json` for machines, `--quick` for a look, `--smoke` to see that it runs. */
export function parseFlags() {
  const options = { json: { type: 'boolean' }, quick: { type: 'boolean' }, smoke: { type: 'boolean' } };
  return parseArgs({ options }).values;
}

/** Says that something is not compared, and why. */
export function reportSkipped(skipped) {
  if (parseFlags().json) console.log(JSON.stringify({ skipped }));
  else console.error(skipped);
}

/** Compares, with progress on standard error, and prints the result. */
export async function report(alternatives, options) {
  const flags = parseFlags();
  const { compare } = await load('bench/comparison.js');
  const { Progress } = await load('bench/progress.js');
  const { formatTable } = await load('bench/table.js');
  const { machineLine } = await load('bench/machine.js');
  const quick = flags.quick ? { ...options, rounds: QUICK_ROUNDS } : options;
  const chosen = flags.smoke ? { ...options, rounds: 1, warmUps: 0, count: 1 } : quick;
  const progress = new Progress(process.stderr, chosen.rounds + chosen.warmUps);
  const comparison = await compare(alternatives, chosen, (what) => progress.step(what));
  progress.end();
  if (flags.json) {
    console.log(JSON.stringify(comparison));
    return;
  }
  const columns = Object.keys(comparison.rows[0]).map((name) => ({
    title: name.replaceAll('_', ' '),
    align: ['name', 'version', 'side'].includes(name) ? 'left' : 'right',
  }));
  console.log(
    `${comparison.question}\n${machineLine(comparison.machine)}; load ${comparison.machine.load}\n`,
  );
  console.log(
    formatTable(
      columns,
      comparison.rows.map((row) => Object.values(row).map(String)),
    ),
  );
  console.log(`${comparison.verdict}\n`);
}
