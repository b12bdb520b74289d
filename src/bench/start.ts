import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import { median, spreadOf } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface StartOptions {
  readonly rounds: number;
}

/** As figures are published. */
export const START_FULL: StartOptions = { rounds: 11 };

const STRATEGIES = ['exitless', 'exit', 'direct'] as const;

/** How long until a program runs: Node itself, and an enclave from `Enclave.create` to the end of it. */
export async function startSuite({ rounds }: StartOptions, onProgress: OnProgress): Promise<SuiteResult> {
  const entry = fileURLToPath(new URL('./launch-program.js', import.meta.url));
  const image = await buildImage(entry, { name: 'bench-start' });
  const measures: readonly [string, () => Promise<number>][] = [
    ['node', startNode],
    ...STRATEGIES.map((strategy): [string, () => Promise<number>] => [
      strategy,
      async () => {
        const began = performance.now();
        await using enclave = await Enclave.create(image, { strategy });
        const milliseconds = performance.now() - began;
        await enclave.launch('nothing');
        return milliseconds;
      },
    ]),
  ];
  const samples = new Map(measures.map(([name]) => [name, [] as number[]]));
  for (let round = 0; round <= rounds; round++) {
    onProgress(round === 0 ? 'warm-up' : `round ${round} of ${rounds}`);
    for (const [name, start] of measures) {
      const milliseconds = await start();
      if (round > 0) samples.get(name)!.push(milliseconds);
    }
  }
  const node = median(samples.get('node')!);
  return { suite: 'start', rows: [...samples].map(([name, times]) => row(name, times, node)) };
}

/** How many steps {@link startSuite} tells of. */
export function startSteps(rounds: number): number {
  return rounds + 1;
}

/** Until a program that does nothing but say so has said so. */
async function startNode(): Promise<number> {
  const began = performance.now();
  const child = spawn(process.execPath, ['-e', 'process.stdout.write("started")'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  await once(child.stdout, 'data');
  const milliseconds = performance.now() - began;
  await closed;
  return milliseconds;
}

function row(name: string, times: readonly number[], node: number): Row {
  const middle = median(times);
  return {
    name,
    p50_ms: rounded(middle, 1),
    least_ms: rounded(Math.min(...times), 1),
    most_ms: rounded(Math.max(...times), 1),
    spread: rounded(spreadOf(times), 3),
    more_than_node_ms: rounded(middle - node, 1),
  };
}
