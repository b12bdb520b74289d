import { fileURLToPath } from 'node:url';
import { Enclave } from '../host/enclave.ts';
import type { Graph } from '../host/graph.ts';
import { buildImage } from '../image/build.ts';
import type * as program from './launch-program.ts';
import { processorOfBoth } from './processor-time.ts';
import { median, spreadOf, summarize } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

const LAUNCHES = 1000;
const QUEUED = 1000;
const QUEUES = 20;
const WARM_UP_ROUNDS = 2;
const ROUNDS = 7;
const NANOSECONDS_A_MILLISECOND = 1e6;
const MILLISECONDS_A_SECOND = 1000;

const GRAPH_STEPS = 20;

type Program = typeof program;

interface Measure {
  readonly name: string;
  /** How many launches a sample takes. */
  readonly launches: number;
  /** Round trips one by one, in milliseconds; or how long a queue of QUEUED launches takes for each of them. */
  sample(enclave: Enclave<Program>): Promise<Float64Array>;
}

interface Samples {
  readonly p50: number[];
  readonly p99: number[];
  readonly processor: number[];
}

const measures = (graph: Graph): readonly Measure[] => [
  {
    name: 'empty',
    launches: LAUNCHES,
    sample: (enclave) => timed(LAUNCHES, () => enclave.launch('nothing')),
  },
  {
    name: 'two numbers',
    launches: LAUNCHES,
    sample: (enclave) => timed(LAUNCHES, () => enclave.launch('add', 1, 2)),
  },
  {
    name: 'empty, spinning',
    launches: LAUNCHES,
    sample: async (enclave) => timedSync(() => enclave.launchSync('nothing')),
  },
  {
    name: 'two numbers, spinning',
    launches: LAUNCHES,
    sample: async (enclave) => timedSync(() => enclave.launchSync('add', 1, 2)),
  },
  {
    name: `graph of ${GRAPH_STEPS} empty steps`,
    launches: LAUNCHES,
    sample: () => timed(LAUNCHES, () => graph.launch()),
  },
  {
    name: 'empty, 1000 queued at once',
    launches: QUEUES * QUEUED,
    sample: (enclave) => queued(() => enclave.launch('nothing')),
  },
  {
    name: 'two numbers, 1000 queued at once',
    launches: QUEUES * QUEUED,
    sample: (enclave) => queued(() => enclave.launch('add', 1, 2)),
  },
];

/** What a launch costs that does next to nothing: round trips, and queues of many; all in one interleaved run. */
export async function launchSuite(onProgress: OnProgress): Promise<SuiteResult> {
  const entry = fileURLToPath(new URL('./launch-program.js', import.meta.url));
  const image = await buildImage(entry, { name: 'bench-launch' });
  await using enclave = await Enclave.create<Program>(image);
  const graph = await enclave.capture((recorder) => {
    for (let step = 0; step < GRAPH_STEPS; step++) recorder.launch('nothing');
  });
  const samples = new Map(
    measures(graph).map((measure): [Measure, Samples] => [measure, { p50: [], p99: [], processor: [] }]),
  );
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    onProgress(round < 0 ? 'warm-up' : `round ${round + 1} of ${ROUNDS}`);
    for (const [measure, { p50, p99, processor }] of samples) {
      const before = processorOfBoth(enclave);
      const summary = summarize(await measure.sample(enclave));
      const used = processorOfBoth(enclave) - before;
      if (round < 0) continue;
      processor.push(used / measure.launches);
      p50.push(summary.p50);
      p99.push(summary.p99);
    }
  }
  return {
    suite: 'launch',
    rows: [...samples].map(([{ name }, taken]) => row(name, taken)),
  };
}

/** How many steps {@link launchSuite} tells of. */
export const LAUNCH_STEPS: number = WARM_UP_ROUNDS + ROUNDS;

async function timed(count: number, run: () => Promise<unknown>): Promise<Float64Array> {
  const milliseconds = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const began = performance.now();
    await run();
    milliseconds[index] = performance.now() - began;
  }
  return milliseconds;
}

function timedSync(run: () => unknown): Float64Array {
  const milliseconds = new Float64Array(LAUNCHES);
  for (let index = 0; index < LAUNCHES; index++) {
    const began = performance.now();
    run();
    milliseconds[index] = performance.now() - began;
  }
  return milliseconds;
}

async function queued(run: () => Promise<unknown>): Promise<Float64Array> {
  const milliseconds = new Float64Array(QUEUES);
  for (let queue = 0; queue < QUEUES; queue++) {
    const began = performance.now();
    await Promise.all(Array.from({ length: QUEUED }, run));
    milliseconds[queue] = (performance.now() - began) / QUEUED;
  }
  return milliseconds;
}

function row(name: string, { p50, p99, processor }: Samples): Row {
  return {
    name,
    p50_ns: rounded(median(p50) * NANOSECONDS_A_MILLISECOND),
    p99_ns: rounded(median(p99) * NANOSECONDS_A_MILLISECOND),
    launches_per_s: rounded(MILLISECONDS_A_SECOND / median(p50)),
    processor_ns_per_launch: rounded(median(processor)),
    spread: rounded(spreadOf(p50), 3),
  };
}
