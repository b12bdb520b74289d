import { createCipheriv, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { sealedLength, TransferSealer } from '../boundary/transfer-sealing.ts';
import type { HostMemory, PrivateBuffer } from '../host/copier.ts';
import { Enclave } from '../host/enclave.ts';
import type { StreamEvent } from '../host/stream-event.ts';
import { buildImage } from '../image/build.ts';
import { privateAddress } from '../linux/addresses.ts';
import { copyMemory } from '../linux/memory.ts';
import type * as program from './copy-program.ts';
import { processorOfBoth } from './processor-time.ts';
import { median, spreadOf } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

const MIB = 1_048_576;
const SIZES: readonly number[] = [MIB, 8 * MIB];
const LARGEST = 8 * MIB;
const REPEATS = 50;
const WARM_UP_ROUNDS = 2;
const ROUNDS = 5;
const BATCHES = 12;
const BATCH_BYTES: number = 4 * MIB;
const BYTES_A_GIGABYTE = 1e9;
const NANOSECONDS_A_MILLISECOND = 1e6;
const MILLISECONDS_A_SECOND = 1000;

type Program = typeof program;

interface Measure {
  readonly name: string;
  readonly bytes: number;
  /** What each copy needs first; not timed. */
  prepare?(): void;
  /** How long one copy takes, in milliseconds. */
  run(): Promise<number>;
}

/**
 * Copies into private memory and out of it, beside a copy of the same size between two buffers of one process and
 * beside the bare cipher; then a pipeline of copies and computation beside each of the two alone.
 */
export async function copySuite(onProgress: OnProgress): Promise<SuiteResult> {
  const entry = fileURLToPath(new URL('./copy-program.js', import.meta.url));
  const image = await buildImage(entry, { name: 'bench-copy', privateMemoryBytes: 64 * MIB });
  await using enclave = await Enclave.create<Program>(image, { pinnedBytes: 64 * MIB });
  const measures = [...(await copyMeasures(enclave)), ...(await sealedMeasures(enclave))];
  const samples = new Map(
    measures.map((measure) => [measure, { wall: [] as number[], processor: [] as number[] }]),
  );
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    onProgress(round < 0 ? 'warm-up' : `round ${round + 1} of ${ROUNDS}`);
    for (const [measure, { wall, processor }] of samples) {
      const times: number[] = [];
      let used = 0;
      for (let repeat = 0; repeat < REPEATS; repeat++) {
        measure.prepare?.();
        const before = processorOfBoth(enclave);
        times.push(await measure.run());
        used += processorOfBoth(enclave) - before;
      }
      if (round < 0) continue;
      wall.push(median(times));
      processor.push(used / REPEATS);
    }
  }
  onProgress('pipeline');
  const rows = [...samples].map(([{ name, bytes }, { wall, processor }]) =>
    row(name, bytes, wall, processor),
  );
  return { suite: 'copy', rows: [...rows, await pipeline(enclave)] };
}

/** How many steps {@link copySuite} tells of. */
export const COPY_STEPS: number = WARM_UP_ROUNDS + ROUNDS + 1;

async function copyMeasures(enclave: Enclave<Program>): Promise<Measure[]> {
  const buffer = await enclave.createBuffer(LARGEST);
  const pinned = enclave.pin(LARGEST);
  const plain = new Uint8Array(LARGEST).fill(1);
  const target = new Uint8Array(LARGEST).fill(1);
  pinned.bytes.fill(1);
  return SIZES.flatMap((bytes) => {
    const whole = { pieces: [{ bufferOffset: 0, hostOffset: 0, rowBytes: bytes }] };
    const stream = enclave.createStream();
    return [
      { name: 'memcpy in one process', bytes, run: async () => timed(() => copyBare(target, plain, bytes)) },
      { name: 'pinned, in', bytes, run: () => timedAsync(() => stream.copyToEnclave(buffer, pinned, whole)) },
      {
        name: 'pinned, out',
        bytes,
        run: () => timedAsync(() => stream.copyFromEnclave(buffer, pinned, whole)),
      },
      { name: 'not pinned, in', bytes, run: () => copyIn(enclave, buffer, plain.subarray(0, bytes)) },
    ];
  });
}

function copyIn(enclave: Enclave<Program>, buffer: PrivateBuffer, source: HostMemory): Promise<number> {
  return timedAsync(() => enclave.createStream().copyToEnclave(buffer, source));
}

function copyBare(target: Uint8Array<ArrayBuffer>, source: Uint8Array<ArrayBuffer>, bytes: number): void {
  copyMemory(privateAddress(target), privateAddress(source), bytes);
}

async function sealedMeasures(enclave: Enclave<Program>): Promise<Measure[]> {
  const bytes = LARGEST;
  const key = new Uint8Array(randomBytes(32));
  const handle = await enclave.launch('createSealed', bytes, key);
  const buffer = enclave.adoptBuffer(handle, bytes, { sealed: true });
  const owner = new TransferSealer(key);
  const plain = new Uint8Array(bytes).fill(1);
  const pinned = enclave.pin(sealedLength(bytes));
  const stream = enclave.createStream();
  return [
    { name: 'AES-256-GCM of node:crypto', bytes, run: async () => bareCipher(plain) },
    {
      name: 'pinned and sealed, in',
      bytes,
      prepare: () => pinned.bytes.set(owner.seal(plain)),
      run: () => timedAsync(() => stream.copyToEnclave(buffer, pinned)),
    },
    {
      name: 'pinned and sealed, out',
      bytes,
      run: () => timedAsync(() => stream.copyFromEnclave(buffer, pinned)),
    },
  ];
}

function bareCipher(plain: Uint8Array): number {
  const cipher = createCipheriv('aes-256-gcm', randomBytes(32), randomBytes(12));
  return timed(() => {
    cipher.update(plain);
    cipher.final();
  });
}

/** Batches are copied in by turns into two buffers and computed on, alone and at once. */
async function pipeline(enclave: Enclave<Program>): Promise<Row> {
  const source = enclave.pin(BATCH_BYTES);
  const buffers = [await enclave.createBuffer(BATCH_BYTES), await enclave.createBuffer(BATCH_BYTES)] as const;
  const stream = enclave.createStream();
  const copies = (): Promise<void> => sequence((batch) => stream.copyToEnclave(buffers[batch % 2]!, source));
  const computations = (rounds: number): Promise<void> =>
    sequence((batch) => stream.launch('compute', buffers[batch % 2]!.handle, rounds));
  const rounds = await matchingRounds(copies, computations);
  const times = { copies: [] as number[], computations: [] as number[], both: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    times.copies.push(await timedAsync(copies));
    times.computations.push(await timedAsync(() => computations(rounds)));
    times.both.push(await timedAsync(() => overlapped(enclave, buffers, source, rounds)));
  }
  const [copying, computing, both] = [median(times.copies), median(times.computations), median(times.both)];
  return {
    name: 'pipeline',
    bytes: BATCHES * BATCH_BYTES,
    copies_ms: rounded(copying, 3),
    computations_ms: rounded(computing, 3),
    pipeline_ms: rounded(both, 3),
    pipeline_to_longer: rounded(both / Math.max(copying, computing), 3),
  };
}

/** As many rounds as make the computation of a batch take about as long as its copy. */
async function matchingRounds(
  copies: () => Promise<void>,
  computations: (rounds: number) => Promise<void>,
): Promise<number> {
  await copies();
  await computations(1);
  const copying = await timedAsync(copies);
  const computing = await timedAsync(() => computations(1));
  return Math.max(1, Math.round(copying / computing));
}

async function overlapped(
  enclave: Enclave<Program>,
  buffers: readonly PrivateBuffer[],
  source: HostMemory,
  rounds: number,
): Promise<void> {
  const [copying, computing] = [enclave.createStream(), enclave.createStream()];
  const computed: StreamEvent[] = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    const buffer = buffers[batch % 2] as PrivateBuffer;
    const before = computed[batch - 2];
    if (before !== undefined) copying.wait(before);
    copying.copyToEnclave(buffer, source);
    computing.wait(copying.record());
    computing.launch('compute', buffer.handle, rounds);
    computed.push(computing.record());
  }
  await Promise.all([copying.synchronize(), computing.synchronize()]);
}

async function sequence(run: (batch: number) => Promise<unknown>): Promise<void> {
  for (let batch = 0; batch < BATCHES; batch++) await run(batch);
}

function timed(run: () => void): number {
  const began = performance.now();
  run();
  return performance.now() - began;
}

async function timedAsync(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await run();
  return performance.now() - began;
}

function row(name: string, bytes: number, times: readonly number[], processor: readonly number[]): Row {
  const milliseconds = median(times);
  const perSecond = (bytes / milliseconds) * MILLISECONDS_A_SECOND;
  return {
    name,
    bytes,
    p50_ms: rounded(milliseconds, 4),
    gigabytes_per_s: rounded(perSecond / BYTES_A_GIGABYTE, 2),
    processor_ms: rounded(median(processor) / NANOSECONDS_A_MILLISECOND, 4),
    spread: rounded(spreadOf(times), 3),
  };
}
