import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import { processorOfBoth } from './processor-time.ts';
import { median, spreadOf } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface StartOptions {
  readonly rounds: number;
}

/** As figures are published. */
export const START_FULL: StartOptions = { rounds: 11 };

const NANOSECONDS_A_MILLISECOND = 1e6;

interface Started {
  readonly milliseconds: number;
  /** Processor time of the process that was started and of this one until then, in nanoseconds. */
  readonly processor: number;
}

const STRATEGIES = ['exitless', 'exit', 'direct'] as const;

/** How long until a program runs: Node itself, and an enclave from `Enclave.create` to the end of it. */
export async function startSuite({ rounds }: StartOptions, onProgress: OnProgress): Promise<SuiteResult> {
  const entry = fileURLToPath(new URL('./launch-program.js', import.meta.url));
  const image = await buildImage(entry, { name: 'bench-start' });
  const measures: readonly [string, () => Promise<Started>][] = [
    ['node', startNode],
    ...STRATEGIES.map((strategy): [string, () => Promise<Started>] => [
      strategy,
      async () => {
        const [began, before] = [performance.now(), processorOfBoth(undefined)];
        await using enclave = await Enclave.create(image, { strategy });
        const milliseconds = performance.now() - began;
        const processor = processorOfBoth(enclave) - before;
        await enclave.launch('nothing');
        return { milliseconds, processor };
      },
    ]),
  ];
  const samples = new Map(measures.map(([name]) => [name, [] as Started[]]));
  for (let round = 0; round <= rounds; round++) {
    onProgress(round === 0 ? 'warm-up' : `round ${round} of ${rounds}`);
    for (const [name, start] of measures) {
      const started = await start();
      if (round > 0) samples.get(name)!.push(started);
    }
  }
  const node = median(samples.get('node')!.map(({ milliseconds }) => milliseconds));
  return { suite: 'start', rows: [...samples].map(([name, times]) => row(name, times, node)) };
}

/** How many steps {@link startSuite} tells of. */
export function startSteps(rounds: number): number {
  return rounds + 1;
}

/** Until a program that does nothing but say so has said so. */
async function startNode(): Promise<Started> {
  const [began, before] = [performance.now(), processorOfBoth(undefined)];
  // It stays until its input ends, so that its processor time can be read.
  const child = spawn(process.execPath, ['-e', 'process.stdout.write("started"); process.stdin.resume()'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  await once(child.stdout, 'data');
  const milliseconds = performance.now() - began;
  const processor = processorOfBoth(child) - before;
  child.stdin.end();
  await closed;
  return { milliseconds, processor };
}

function row(name: string, started: readonly Started[], node: number): Row {
  const times = started.map(({ milliseconds }) => milliseconds);
  const middle = median(times);
  return {
    name,
    p50_ms: rounded(middle, 1),
    least_ms: rounded(Math.min(...times), 1),
    most_ms: rounded(Math.max(...times), 1),
    spread: rounded(spreadOf(times), 3),
    more_than_node_ms: rounded(middle - node, 1),
    processor_ms: rounded(median(started.map(({ processor }) => processor)) / NANOSECONDS_A_MILLISECOND, 1),
  };
}
