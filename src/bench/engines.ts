import process from 'node:process';
import { Request } from '../boundary/ring.ts';
import { Blocking } from '../host/blocking.ts';
import { BlockingCall, type BlockingCalls } from '../host/blocking-call.ts';
import { Executor } from '../host/executor.ts';
import { Pool } from '../host/pool.ts';
import { createUringMemory, UringCalls } from '../host/uring-calls.ts';
import { BLOCKING_IDLE_MILLISECONDS, FILE_TRANSFER_MAX } from '../limits.ts';
import { closeDescriptor } from '../linux/events.ts';
import { Structure } from '../linux/structure.ts';
import { median } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';
import { TestFile } from './test-file.ts';

const FILE_BYTES = 67_108_864;
const READ_BYTES = 4096;
const READS = 512;
const DEPTHS = [1, 16] as const;
const WARM_UP_ROUNDS = 2;
const ROUNDS = 9;
const NOTHING_GRANTED = { listen: [], connect: [], files: [], streams: [], names: false };

/** Reads that miss the page cache, by either engine of a worker; all in one interleaved run. */
export async function enginesSuite(onProgress: OnProgress): Promise<SuiteResult> {
  using file = new TestFile(FILE_BYTES);
  await using pool = new Reader(file, 'pool');
  await using uring = new Reader(file, 'io_uring');
  const samples = new Map(
    DEPTHS.flatMap((depth) => [pool, uring].map((reader) => [{ reader, depth }, [] as Sample[]] as const)),
  );
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    onProgress(round < 0 ? 'warm-up' : `round ${round + 1} of ${ROUNDS}`);
    for (const [{ reader, depth }, taken] of samples) {
      await reader.warmUp();
      file.drop();
      const sample = reader.sample(depth);
      if (round >= 0) taken.push(sample);
    }
  }
  const rows = [...samples].map(([{ reader, depth }, taken]) => rowOf(reader.engine, depth, taken));
  return { suite: 'engines', rows: rows.map((row) => withRatios(row, rows)) };
}

/** How many steps {@link enginesSuite} tells of. */
export const ENGINES_STEPS: number = WARM_UP_ROUNDS + ROUNDS;

interface Sample {
  readonly wallMicroseconds: number;
  readonly processorMicroseconds: number;
}

interface EngineRow extends Record<string, number | string> {
  readonly name: string;
  readonly reads_at_once: number;
  readonly wall_us_per_read: number;
  readonly processor_us_per_read: number;
}

function rowOf(name: string, depth: number, samples: readonly Sample[]): EngineRow {
  return {
    name,
    reads_at_once: depth,
    wall_us_per_read: rounded(median(samples.map((sample) => sample.wallMicroseconds)), 1),
    processor_us_per_read: rounded(median(samples.map((sample) => sample.processorMicroseconds)), 1),
  };
}

function withRatios(row: EngineRow, rows: readonly EngineRow[]): Row {
  const base = rows.find(
    ({ name, reads_at_once }) => name === 'pool' && reads_at_once === row.reads_at_once,
  )!;
  return {
    ...row,
    wall_ratio_to_pool: rounded(row.wall_us_per_read / base.wall_us_per_read, 2),
    processor_ratio_to_pool: rounded(row.processor_us_per_read / base.processor_us_per_read, 2),
  };
}

/** The executor of a worker, with one engine, on this thread. */
class Reader implements AsyncDisposable {
  readonly engine: 'pool' | 'io_uring';
  readonly #file: TestFile;
  readonly #executor: Executor;
  readonly #pool: Pool;
  readonly #uring: UringCalls | undefined;
  readonly #engine: BlockingCalls;
  readonly #room = new Structure(Math.max(...DEPTHS) * FILE_TRANSFER_MAX);
  #lastId = 0;
  #answered = 0;

  constructor(file: TestFile, engine: 'pool' | 'io_uring') {
    this.engine = engine;
    this.#file = file;
    this.#executor = new Executor({}, NOTHING_GRANTED, 0, Number.MAX_SAFE_INTEGER, {
      complete: () => {
        this.#answered++;
      },
    });
    this.#pool = new Pool(this.#executor);
    if (engine === 'io_uring') this.#uring = new UringCalls(this.#executor, createUringMemory(), this.#pool);
    this.#engine = this.#uring ?? this.#pool;
    this.#executor.blocking = this.#engine;
  }

  /** Lets threads start whose start would count as reading: they need the event loop of this one. */
  async warmUp(): Promise<void> {
    if (this.#uring !== undefined) return;
    const until = performance.now() + BLOCKING_IDLE_MILLISECONDS / 10;
    this.#read(Math.max(...DEPTHS), 0);
    while (this.#pool.wantsTurn && performance.now() < until) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  sample(depth: number): Sample {
    const processor = process.cpuUsage();
    const began = performance.now();
    for (let done = 0; done < READS; done += depth) this.#read(depth, this.#file.bytes);
    const milliseconds = performance.now() - began;
    const { user, system } = process.cpuUsage(processor);
    return {
      wallMicroseconds: (milliseconds * 1000) / READS,
      processorMicroseconds: (user + system) / READS,
    };
  }

  /** Reads so many pages at once, each anywhere in the first `bytes` of the file. */
  #read(count: number, bytes: number): void {
    this.#answered = 0;
    for (let index = 0; index < count; index++) {
      const request = Object.assign(new Request(), {
        id: ++this.#lastId,
        payload: this.#room.address + index * FILE_TRANSFER_MAX,
        length: READ_BYTES,
        timeout: -1,
      });
      const position = Math.floor((Math.random() * bytes) / READ_BYTES) * READ_BYTES;
      const call = { operation: Blocking.read, descriptor: this.#file.descriptor, position };
      this.#executor.block(new BlockingCall(this.#executor, request, call));
    }
    this.#engine.submit();
    while (this.#answered < count) this.#executor.poll(-1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#uring?.close(this.#executor);
    await this.#pool.close(this.#executor);
    closeDescriptor(this.#executor.epoll);
  }
}
