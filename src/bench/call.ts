import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import type { Image } from '../image/image.ts';
import { processorOfBoth } from './processor-time.ts';
import { median, spreadOf, summarize } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

/** Calls of one sample, so that its times fit the outcome of a launch. */
const CALLS = 5000;
const SLOW_CALLS = 500;
const WARM_UP_ROUNDS = 2;
const ROUNDS = 7;
const STARTS = 9;
const NANOSECONDS_A_MILLISECOND = 1e6;

interface Measure {
  readonly name: string;
  /** Who takes part beside this process. */
  readonly enclave?: Enclave;
  /** Times calls one by one, in milliseconds, the clock's own cost included. */
  sample(): Promise<Float64Array>;
  /** The clock's own cost where they were timed, in milliseconds. */
  clock(): Promise<number>;
}

/** What a call that does nothing costs, whichever way it is made; all in one interleaved run. */
export async function callSuite(onProgress: OnProgress): Promise<SuiteResult> {
  const image = await buildImage(fileURLToPath(new URL('./call-program.js', import.meta.url)), {
    name: 'bench-call',
  });
  const services = { module: new URL('./echo-services.js', import.meta.url).href };
  await using exitless = await Enclave.create(image, { services });
  await using exit = await Enclave.create(image, { strategy: 'exit' });
  await using direct = await Enclave.create(image, { strategy: 'direct' });
  const echo = new Worker(new URL('./post-message-main.js', import.meta.url));
  try {
    const rows = await measure(
      [
        launched('ping-pong', exitless, 'floor', CALLS),
        launched('exitless', exitless, 'synchronous', CALLS),
        launched('exitless-async', exitless, 'asynchronous', CALLS),
        launched('exit', exit, 'synchronous', SLOW_CALLS),
        launched('in-place', direct, 'synchronous', CALLS),
        { name: 'post-message', sample: () => postMessages(echo), clock: async () => 0 },
      ],
      onProgress,
    );
    onProgress('start of an enclave');
    return { suite: 'call', rows: [...rows, await measureStart(image)] };
  } finally {
    await echo.terminate();
  }
}

function launched(name: string, enclave: Enclave, what: string, calls: number): Measure {
  return {
    name,
    enclave,
    sample: async () => (await enclave.launch(what, calls)) as Float64Array,
    clock: async () => median((await enclave.launch('clock', CALLS)) as Float64Array),
  };
}

/** From `Enclave.create` to the answer of the first call, the image being built. */
async function measureStart(image: Image): Promise<Row> {
  const milliseconds = new Float64Array(STARTS);
  for (let start = 0; start < STARTS; start++) {
    const began = performance.now();
    const enclave = await Enclave.create(image);
    await enclave.launch('synchronous', 1);
    milliseconds[start] = performance.now() - began;
    await enclave.stop();
  }
  const { p50, p99, minimum, maximum } = summarize(milliseconds);
  const nanoseconds = (value: number): number => rounded(value * NANOSECONDS_A_MILLISECOND);
  return {
    name: 'start-to-first-call',
    p50_ns: nanoseconds(p50),
    p99_ns: nanoseconds(p99),
    p50_least_ns: nanoseconds(minimum),
    p50_most_ns: nanoseconds(maximum),
  };
}

async function postMessages(worker: Worker): Promise<Float64Array> {
  const milliseconds = new Float64Array(SLOW_CALLS);
  for (let call = 0; call < SLOW_CALLS; call++) {
    const began = performance.now();
    worker.postMessage(call);
    await once(worker, 'message');
    milliseconds[call] = performance.now() - began;
  }
  return milliseconds;
}

/** Takes a sample of each in turn, again and again; the median over the rounds is the figure. */
async function measure(measures: readonly Measure[], onProgress: OnProgress): Promise<Row[]> {
  const samples = new Map<Measure, { p50: number[]; p99: number[]; processor: number[] }>();
  for (const measure of measures) samples.set(measure, { p50: [], p99: [], processor: [] });
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    onProgress(round < 0 ? 'warm-up' : `round ${round + 1} of ${ROUNDS}`);
    for (const [measure, { p50, p99, processor }] of samples) {
      const before = processorOfBoth(measure.enclave);
      const summary = summarize(await measure.sample());
      const used = processorOfBoth(measure.enclave) - before;
      const clock = await measure.clock();
      if (round < 0) continue;
      p50.push((summary.p50 - clock) * NANOSECONDS_A_MILLISECOND);
      p99.push((summary.p99 - clock) * NANOSECONDS_A_MILLISECOND);
      processor.push(used / summary.count);
    }
  }
  return measures.map((measure) => {
    const { p50, p99, processor } = samples.get(measure)!;
    return {
      name: measure.name,
      p50_ns: rounded(median(p50)),
      p99_ns: rounded(median(p99)),
      p50_least_ns: rounded(Math.min(...p50)),
      p50_most_ns: rounded(Math.max(...p50)),
      processor_ns_per_call: rounded(median(processor)),
      spread: rounded(spreadOf(p50), 3),
    };
  });
}

/** How many steps {@link callSuite} tells of. */
export const CALL_STEPS: number = WARM_UP_ROUNDS + ROUNDS + 1;
