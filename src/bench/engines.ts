import process from 'node:process';
import { Request } from '../boundary/ring.ts';
import { Blocking } from '../host/blocking.ts';
import { BlockingCall, type BlockingCalls } from '../host/blocking-call.ts';
import { Executor } from '../host/executor.ts';
import { Pool } from '../host/pool.ts';
import { createUringMemory, UringCalls } from '../host/uring-calls.ts';
import { BLOCKING_IDLE_MILLISECONDS, FILE_TRANSFER_MAX, PAGE_BYTES } from '../limits.ts';
import { closeDescriptor } from '../linux/events.ts';
import { Structure } from '../linux/structure.ts';
import { median } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';
import { TestFile } from './test-file.ts';

const FILE_BYTES = 67_108_864;
const CALLS = 512;
const DEPTHS = [1, 16] as const;
const KINDS = ['read', 'write'] as const;
type Kind = (typeof KINDS)[number];
const WARM_UP_ROUNDS = 2;
const ROUNDS = 9;
const NOTHING_GRANTED = { listen: [], connect: [], files: [], streams: [], names: false };

/** Reads that miss the page cache, and writes, by either engine of a worker; all in one interleaved run. */
export async function enginesSuite(onProgress: OnProgress): Promise<SuiteResult> {
  using file = new TestFile(FILE_BYTES);
  await using pool = new Disk(file, 'pool');
  await using uring = new Disk(file, 'io_uring');
  const samples = new Map<Point, Sample[]>();
  for (const kind of KINDS) {
    for (const depth of DEPTHS) {
      for (const disk of [pool, uring]) samples.set({ kind, depth, disk }, []);
    }
  }
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    onProgress(round < 0 ? 'warm-up' : `round ${round + 1} of ${ROUNDS}`);
    for (const [{ kind, disk, depth }, taken] of samples) {
      await disk.warmUp();
      file.drop();
      const sample = disk.sample(kind, depth);
      if (round >= 0) taken.push(sample);
    }
  }
  const rows = [...samples].map(([point, taken]) => rowOf(point, taken));
  return { suite: 'engines', rows: rows.map((row) => withRatios(row, rows)) };
}

/** How many steps {@link enginesSuite} tells of. */
export const ENGINES_STEPS: number = WARM_UP_ROUNDS + ROUNDS;

interface Point {
  readonly kind: Kind;
  readonly depth: number;
  readonly disk: Disk;
}

interface Sample {
  readonly wallMicroseconds: number;
  readonly processorMicroseconds: number;
}

interface EngineRow extends Record<string, number | string> {
  readonly name: string;
  readonly kind: Kind;
  readonly calls_at_once: number;
  readonly wall_us_per_call: number;
  readonly processor_us_per_call: number;
}

function rowOf({ kind, depth, disk }: Point, samples: readonly Sample[]): EngineRow {
  return {
    name: disk.engine,
    kind,
    calls_at_once: depth,
    wall_us_per_call: rounded(median(samples.map((sample) => sample.wallMicroseconds)), 1),
    processor_us_per_call: rounded(median(samples.map((sample) => sample.processorMicroseconds)), 1),
  };
}

function withRatios(row: EngineRow, rows: readonly EngineRow[]): Row {
  const base = rows.find(
    ({ name, kind, calls_at_once }) =>
      name === 'pool' && kind === row.kind && calls_at_once === row.calls_at_once,
  )!;
  return {
    ...row,
    wall_ratio_to_pool: rounded(row.wall_us_per_call / base.wall_us_per_call, 2),
    processor_ratio_to_pool: rounded(row.processor_us_per_call / base.processor_us_per_call, 2),
  };
}

/** The executor of a worker, with one engine, on this thread. */
class Disk implements AsyncDisposable {
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

  /** Lets threads start whose start would count as theirs: they need the event loop of this one. */
  async warmUp(): Promise<void> {
    if (this.#uring !== undefined) return;
    const until = performance.now() + BLOCKING_IDLE_MILLISECONDS / 10;
    this.#make('read', Math.max(...DEPTHS), 0);
    while (this.#pool.wantsTurn && performance.now() < until) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  sample(kind: Kind, depth: number): Sample {
    const processor = process.cpuUsage();
    const began = performance.now();
    for (let done = 0; done < CALLS; done += depth) this.#make(kind, depth, this.#file.bytes);
    const milliseconds = performance.now() - began;
    const { user, system } = process.cpuUsage(processor);
    return {
      wallMicroseconds: (milliseconds * 1000) / CALLS,
      processorMicroseconds: (user + system) / CALLS,
    };
  }

  /** Reads or writes so many pages at once, each anywhere in the first `bytes` of the file. */
  #make(kind: Kind, count: number, bytes: number): void {
    this.#answered = 0;
    for (let index = 0; index < count; index++) {
      const request = Object.assign(new Request(), {
        id: ++this.#lastId,
        payload: this.#room.address + index * FILE_TRANSFER_MAX,
        length: PAGE_BYTES,
        timeout: -1,
      });
      const position = Math.floor((Math.random() * bytes) / PAGE_BYTES) * PAGE_BYTES;
      const call = { operation: Blocking[kind], descriptor: this.#file.descriptor, position };
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
