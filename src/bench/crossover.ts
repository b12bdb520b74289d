import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import type * as program from './crossover-program.ts';
import { processorOfBoth } from './processor-time.ts';
import { median, spreadOf, summarize } from './statistics.ts';
import { type Contender, contenders } from './strategies.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface CrossoverOptions {
  /** Bytes that a transfer brings: a row for each and each strategy. */
  readonly bytes: readonly number[];
  readonly rounds: number;
  /** Calls timed in a round. */
  readonly calls: number;
}

/** As figures are published. */
export const CROSSOVER_FULL: CrossoverOptions = {
  bytes: [16, 256, 4096, 16_384, 65_536, 262_144, 1_048_576],
  rounds: 5,
  calls: 1000,
};

type Program = typeof program;

interface Runner {
  readonly label: string;
  readonly enclave: Enclave<Program>;
}

const NANOSECONDS_A_MILLISECOND = 1e6;
/** What the program connects to. */
const GRANT = 'unix:/bench/prepared';

/**
 * Where calls without exits do not pay: transfers so large that the copy counts and the way it was asked for does
 * not, cores that others want, and calls that cost less than the ring. Every strategy in turn, several rounds.
 */
export async function crossoverSuite(
  options: CrossoverOptions,
  onProgress: OnProgress,
): Promise<SuiteResult> {
  const entry = fileURLToPath(new URL('./crossover-program.js', import.meta.url));
  const image = await buildImage(entry, { name: 'bench-crossover', grants: { connect: [GRANT] } });
  const services = { module: new URL('./crossover-services.js', import.meta.url).href };
  const runners: Runner[] = [];
  try {
    for (const { label, options: strategy } of chosen()) {
      runners.push({ label, enclave: await Enclave.create<Program>(image, { ...strategy, services }) });
    }
    const rows = await measureAll(runners, options, '', onProgress);
    const busy = await occupyCores();
    try {
      const crowded = { ...options, bytes: options.bytes.slice(0, 1) };
      return {
        suite: 'crossover',
        rows: [...rows, ...(await measureAll(runners, crowded, ', cores taken', onProgress))],
      };
    } finally {
      for (const child of busy) child.kill('SIGKILL');
    }
  } finally {
    for (const { enclave } of runners) await enclave.stop();
  }
}

/** How many steps {@link crossoverSuite} tells of. */
export function crossoverSteps(rounds: number): number {
  return 2 * (rounds + 1);
}

/** All that are measured, and the dearest published exit of those that are modelled. */
function chosen(): readonly Contender[] {
  const modelled = contenders.filter(({ model }) => model !== undefined);
  return [...contenders.filter(({ model }) => model === undefined), ...modelled.slice(-1)];
}

interface Measure {
  readonly what: string;
  readonly bytes: number;
  run(enclave: Enclave<Program>): Promise<Float64Array>;
}

async function measureAll(
  runners: readonly Runner[],
  { bytes: sizes, rounds, calls }: CrossoverOptions,
  suffix: string,
  onProgress: OnProgress,
): Promise<Row[]> {
  const measures: Measure[] = [
    { what: `clock${suffix}`, bytes: 0, run: (enclave) => enclave.launch('clocks', calls) },
    ...sizes.map((bytes) => ({
      what: `transfer${suffix}`,
      bytes,
      run: (enclave: Enclave<Program>) => enclave.launch('transfers', callsFor(bytes, calls), bytes),
    })),
  ];
  const samples = measures.flatMap((measure) =>
    runners.map((runner) => ({
      measure,
      runner,
      p50: [] as number[],
      p99: [] as number[],
      mean: [] as number[],
      processor: [] as number[],
    })),
  );
  for (let round = 0; round <= rounds; round++) {
    onProgress(`${round === 0 ? 'warm-up' : `round ${round} of ${rounds}`}${suffix}`);
    for (const { measure, runner, p50, p99, mean, processor } of samples) {
      const before = processorOfBoth(runner.enclave);
      const summary = summarize(await measure.run(runner.enclave));
      const used = processorOfBoth(runner.enclave) - before;
      if (round === 0) continue;
      p50.push(summary.p50 * NANOSECONDS_A_MILLISECOND);
      p99.push(summary.p99 * NANOSECONDS_A_MILLISECOND);
      mean.push(summary.mean * NANOSECONDS_A_MILLISECOND);
      processor.push(used / summary.count);
    }
  }
  return samples.map(({ measure: { what, bytes }, runner: { label }, p50, p99, mean, processor }) => ({
    what,
    bytes,
    strategy: label,
    p50_ns: rounded(median(p50)),
    p50_least_ns: rounded(Math.min(...p50)),
    p50_most_ns: rounded(Math.max(...p50)),
    p99_ns: rounded(median(p99)),
    // Where one call in a hundred waits for milliseconds, the median says little of what calls take.
    mean_ns: rounded(median(mean)),
    processor_ns_per_operation: rounded(median(processor)),
    spread: rounded(spreadOf(p50), 3),
  }));
}

const LARGE_BYTES = 65_536;
const LARGE_SHARE = 10;

function callsFor(bytes: number, calls: number): number {
  return bytes < LARGE_BYTES ? calls : Math.max(1, Math.ceil(calls / LARGE_SHARE));
}

/** A process for each core that computes without a pause. */
async function occupyCores(): Promise<ChildProcess[]> {
  const busy = Array.from({ length: availableParallelism() }, () =>
    fork(fileURLToPath(new URL('./busy-main.js', import.meta.url))),
  );
  await Promise.all(busy.map((child) => once(child, 'message')));
  return busy;
}
