import { fileURLToPath } from 'node:url';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import { processorOfBoth } from './processor-time.ts';
import { median, spreadOf } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';
import type * as program from './threads-program.ts';

export interface ThreadsOptions {
  /** Threads of an enclave: rows for each number. */
  readonly threads: readonly number[];
  readonly rounds: number;
  /** How long a round makes calls. */
  readonly milliseconds: number;
}

/** As figures are published. */
export const THREADS_FULL: ThreadsOptions = { threads: [1, 2, 4], rounds: 5, milliseconds: 150 };

const LAUNCHES = 1000;
const STRATEGIES = ['exitless', 'exit', 'direct'] as const;

type Program = typeof program;

interface Measure {
  readonly what: string;
  /** Operations that all threads together made, in so many milliseconds. */
  run(enclave: Enclave<Program>): Promise<{ operations: number; milliseconds: number }>;
}

/** Whether an enclave does more with more threads: calls of all of them at once, and launches spread over them. */
export async function threadsSuite(
  { threads, rounds, milliseconds }: ThreadsOptions,
  onProgress: OnProgress,
): Promise<SuiteResult> {
  const measures = measuresOf(milliseconds);
  const enclaves: { count: number; strategy: string; enclave: Enclave<Program> }[] = [];
  try {
    for (const count of threads) {
      const image = await buildImage(fileURLToPath(new URL('./threads-program.js', import.meta.url)), {
        name: 'bench-threads',
        threads: count,
      });
      for (const strategy of STRATEGIES) {
        enclaves.push({ count, strategy, enclave: await Enclave.create<Program>(image, { strategy }) });
      }
    }
    const samples = measures.flatMap((measure) =>
      enclaves.map((entrant) => ({ measure, entrant, rates: [] as number[], processor: [] as number[] })),
    );
    for (let round = 0; round <= rounds; round++) {
      onProgress(round === 0 ? 'warm-up' : `round ${round} of ${rounds}`);
      for (const { measure, entrant, rates, processor } of samples) {
        const before = processorOfBoth(entrant.enclave);
        const { operations, milliseconds: took } = await measure.run(entrant.enclave);
        const used = processorOfBoth(entrant.enclave) - before;
        if (round === 0) continue;
        rates.push((operations * 1000) / took);
        processor.push(used / operations);
      }
    }
    return {
      suite: 'threads',
      rows: samples.map(
        ({ measure, entrant, rates, processor }): Row => ({
          what: measure.what,
          strategy: entrant.strategy,
          threads: entrant.count,
          per_second: rounded(median(rates)),
          processor_ns_per_operation: rounded(median(processor)),
          spread: rounded(spreadOf(rates), 3),
        }),
      ),
    };
  } finally {
    for (const { enclave } of enclaves) await enclave.stop();
  }
}

/** How many steps {@link threadsSuite} tells of. */
export function threadsSteps(rounds: number): number {
  return rounds + 1;
}

function measuresOf(milliseconds: number): readonly Measure[] {
  return [
    {
      what: 'calls',
      run: async (enclave) => {
        const counts = await Promise.all(
          Array.from({ length: enclave.threads }, (_, thread) =>
            enclave.launchWith({ thread }, 'calls', milliseconds),
          ),
        );
        return { operations: counts.reduce((sum, count) => sum + count, 0), milliseconds };
      },
    },
    {
      what: 'launches',
      run: async (enclave) => {
        const began = performance.now();
        await Promise.all(Array.from({ length: LAUNCHES }, () => enclave.launch('nothing')));
        return { operations: LAUNCHES, milliseconds: performance.now() - began };
      },
    },
  ];
}
