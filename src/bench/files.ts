import { fileURLToPath } from 'node:url';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import { atOnce, inSequence, oneAtATime } from './files-node.ts';
import { HandOver } from './hand-over.ts';
import { processorOfBoth } from './processor-time.ts';
import { median, spreadOf } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';
import { TestFile } from './test-file.ts';

const MOUNT = '/bench';
const FILE_BYTES = 67_108_864;
const PAGE = 4096;
const CHUNK = 65_536;
const WARM_UP_ROUNDS = 2;
const ROUNDS = 7;

/** The reads by `node:fs`, under the names that the program gives its own. */
const node = { atOnce, inSequence, oneAtATime } as const;

interface Workload {
  readonly workload: string;
  readonly what: keyof typeof node;
  readonly readBytes: number;
  readonly reads: number;
  readonly depth: number;
  /** Whether every read may have to wait for the disk. */
  readonly uncached: boolean;
}

const random = { readBytes: PAGE, what: 'atOnce' } as const;
const workloads: readonly Workload[] = [
  { ...random, workload: 'random', what: 'oneAtATime', reads: 4000, depth: 1, uncached: false },
  { ...random, workload: 'random', reads: 4000, depth: 16, uncached: false },
  {
    workload: 'sequential',
    what: 'inSequence',
    readBytes: CHUNK,
    reads: 1024,
    depth: 1,
    uncached: false,
  },
  { ...random, workload: 'random uncached', what: 'oneAtATime', reads: 256, depth: 1, uncached: true },
  { ...random, workload: 'random uncached', reads: 512, depth: 16, uncached: true },
];

interface Contender {
  readonly name: string;
  /** Who takes part beside this process. */
  readonly enclave?: Enclave;
  /** The workloads that it takes part in; all unless told. */
  takesPart?(workload: Workload): boolean;
  /** Milliseconds for all reads of a workload. */
  sample(workload: Workload): Promise<number>;
}

/** Reads of a file, from the page cache and past it, by every way; all in one interleaved run. */
export async function filesSuite(onProgress: OnProgress): Promise<SuiteResult> {
  using file = new TestFile(FILE_BYTES);
  const image = await buildImage(fileURLToPath(new URL('./files-program.js', import.meta.url)), {
    name: 'bench-files',
    grants: { files: [{ mount: MOUNT, access: 'read' }] },
  });
  const directories = { [MOUNT]: file.directory };
  await using exitless = await Enclave.create(image, { directories });
  await using pool = await Enclave.create(image, { directories, engine: 'direct' });
  await using direct = await Enclave.create(image, { directories, strategy: 'direct' });
  const handOver = new HandOver(PAGE);
  const launched = (name: string, enclave: Enclave): Contender => ({
    name,
    enclave,
    sample: async ({ what, readBytes, reads, depth }) =>
      (await enclave.launch(what, `${MOUNT}/${file.name}`, FILE_BYTES, readBytes, reads, depth)) as number,
  });
  const contenders: readonly Contender[] = [
    {
      name: 'node',
      sample: async ({ what, readBytes, reads, depth }) =>
        await node[what](file.path, FILE_BYTES, readBytes, reads, depth),
    },
    launched('direct', direct),
    launched('exitless', exitless),
    { ...launched('exitless, engine direct', pool), takesPart: ({ uncached }) => uncached },
    {
      name: 'hand-over of the bytes alone',
      takesPart: ({ depth, uncached, readBytes }) => depth === 1 && !uncached && readBytes === PAGE,
      sample: async ({ reads }) => handOver.sample(reads),
    },
  ];
  const rows: Row[] = [];
  for (const workload of workloads) {
    const entrants = contenders.filter((contender) => contender.takesPart?.(workload) ?? true);
    rows.push(...(await measure(workload, entrants, file, onProgress)));
  }
  await handOver.close();
  return { suite: 'files', rows };
}

/** Takes a sample of each in turn, again and again; the median over the rounds is the figure. */
async function measure(
  workload: Workload,
  contenders: readonly Contender[],
  file: TestFile,
  onProgress: OnProgress,
): Promise<Row[]> {
  const samples = new Map(
    contenders.map((contender) => [contender, { wall: [] as number[], processor: [] as number[] }]),
  );
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    const part = round < 0 ? 'warm-up' : `round ${round + 1} of ${ROUNDS}`;
    onProgress(`${workload.workload}, ${workload.depth} at once: ${part}`);
    for (const [contender, taken] of samples) {
      if (workload.uncached) file.drop();
      const before = processorOfBoth(contender.enclave);
      const milliseconds = await contender.sample(workload);
      const used = processorOfBoth(contender.enclave) - before;
      if (round < 0) continue;
      taken.wall.push((milliseconds * 1000) / workload.reads);
      taken.processor.push(used / 1000 / workload.reads);
    }
  }
  const microseconds = contenders.map((contender) => median(samples.get(contender)!.wall));
  return contenders.map(({ name }, index) => ({
    name,
    workload: workload.workload,
    read_bytes: workload.readBytes,
    reads_at_once: workload.depth,
    us_per_read: rounded(microseconds[index]!, 2),
    mib_per_s: rounded((workload.readBytes / microseconds[index]!) * (1e6 / 1_048_576)),
    ratio_to_node: rounded(microseconds[index]! / microseconds[0]!, 2),
    processor_us_per_read: rounded(median(samples.get(contenders[index]!)!.processor), 2),
    spread: rounded(spreadOf(samples.get(contenders[index]!)!.wall), 3),
  }));
}

/** How many steps {@link filesSuite} tells of. */
export const FILES_STEPS: number = workloads.length * (WARM_UP_ROUNDS + ROUNDS);
