import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseGrants } from '../boundary/grants.ts';
import { CallKind } from '../boundary/kinds.ts';
import { ARENA_BYTES, boundaryBytes, channelLayout } from '../boundary/layout.ts';
import { Request, SubmissionReader } from '../boundary/ring.ts';
import { WaitPolicy } from '../boundary/waiting.ts';
import { Calls } from '../enclave/calls.ts';
import { RingPort } from '../enclave/ring-port.ts';
import { Enclave } from '../host/enclave.ts';
import { Executor } from '../host/executor.ts';
import { Journal } from '../host/journal.ts';
import { RingSink } from '../host/ring-sink.ts';
import { services } from '../host/services.ts';
import { buildImage } from '../image/build.ts';
import { RING_ENTRIES } from '../limits.ts';
import { closeDescriptor, createEvent } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import { createSealedMemory, discardShared, mapShared, type SharedMapping } from '../linux/memory.ts';
import { countCycles, whyNoCycles } from './cycles.ts';
import { median } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface ProfileOptions {
  readonly rounds: number;
  /** Batches of each part that a round times. */
  readonly batches: number;
}

/** As figures are published. */
export const PROFILE_FULL: ProfileOptions = { rounds: 7, batches: 2000 };

/** Calls of a batch: enough that the two readings of the clock around it do not count. */
const BATCH = 64;
const PAYLOAD_BYTES = 64;
const WHOLE_CALLS = 5000;
/** Enough that starting and ending to count does not. */
const CYCLE_BATCHES = 20;
const NANOSECONDS_A_MILLISECOND = 1e6;
const PARTS = ['encode', 'publish', 'serve', 'check', 'copy'] as const;

type Part = (typeof PARTS)[number];

/**
 * What the time of one call without an exit is made of.
 *
 * The real parts of both sides run here on one thread, over a boundary of its own, in batches: the enclave's books
 * alone (`encode`), with the entry written as well (the difference is `publish`), the worker's side from the entry
 * to the answer (`serve`), the enclave's look at the answer and its books (`check`), and room in the arena with a
 * copy out of it (`copy`). On one thread every line is in its core's cache, so what is left of a whole call, which
 * is measured between an enclave and its worker, is the time that lines and looks take to cross (`wait`).
 */
export async function profileSuite(
  { rounds, batches }: ProfileOptions,
  onProgress: OnProgress,
): Promise<SuiteResult> {
  const image = await buildImage(fileURLToPath(new URL('./call-program.js', import.meta.url)), {
    name: 'bench-profile',
  });
  await using enclave = await Enclave.create(image);
  using parts = new CallParts();
  const samples = new Map<string, number[]>([...PARTS, 'whole'].map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    onProgress(round < 0 ? 'warm-up' : `round ${round + 1} of ${rounds}`);
    const times = parts.measure(batches);
    const whole = await measureWhole(enclave);
    if (round < 0) continue;
    for (const part of PARTS) samples.get(part)!.push(times[part]);
    samples.get('whole')!.push(whole);
  }
  return { suite: 'profile', rows: [...rowsOf(samples), await cyclesRow(enclave)] };
}

/** How many steps {@link profileSuite} tells of. */
export function profileSteps(rounds: number): number {
  return rounds + 1;
}

/** In the order in which a call goes through them. */
function rowsOf(samples: ReadonlyMap<string, readonly number[]>): Row[] {
  const of = (name: string): number => median(samples.get(name)!);
  const busy = of('encode') + of('publish') + of('serve') + of('check');
  const row = (part: string, nanoseconds: number, side: string): Row => ({
    part,
    side,
    ns: rounded(nanoseconds, 1),
  });
  return [
    row('encode', of('encode'), 'enclave'),
    row('publish', of('publish'), 'enclave'),
    row('wait', Math.max(0, of('whole') - busy), 'between'),
    row('serve', of('serve'), 'host'),
    row('check', of('check'), 'enclave'),
    row('copy', of('copy'), 'enclave'),
    row('whole, without the copy', of('whole'), 'measured'),
  ];
}

/** The median of calls that do nothing between an enclave and its worker, without the clock's own cost. */
async function measureWhole(enclave: Enclave): Promise<number> {
  const calls = (await enclave.launch('synchronous', WHOLE_CALLS)) as Float64Array;
  const clock = (await enclave.launch('clock', WHOLE_CALLS)) as Float64Array;
  return (median(calls) - median(clock)) * NANOSECONDS_A_MILLISECOND;
}

/** Cycles of both processes for a call, their kernel's included; or why nobody counts them. */
async function cyclesRow(enclave: Enclave): Promise<Row> {
  const why = await whyNoCycles();
  if (why !== undefined) return { part: 'cycles', side: `not counted: ${why}` };
  const calls = () => enclave.launch('synchronous', WHOLE_CALLS);
  const cycles = await countCycles([process.pid, enclave.pid!], async () => {
    for (let batch = 0; batch < CYCLE_BATCHES; batch++) await calls();
  });
  return { part: 'cycles', side: 'counted', cycles: Math.round(cycles / (CYCLE_BATCHES * WHOLE_CALLS)) };
}

/** Both sides of one channel on this thread. */
class CallParts implements Disposable {
  readonly #mapping: SharedMapping;
  readonly #bell: number;
  readonly #calls: Calls;
  readonly #port: RingPort;
  readonly #books: Calls;
  readonly #ids: IdPort;
  readonly #reader: SubmissionReader;
  readonly #executor: Executor;
  readonly #journal = new Journal();
  readonly #request = new Request();
  readonly #slots = new Int32Array(BATCH);
  readonly #view = new Uint8Array(PAYLOAD_BYTES);

  constructor() {
    const bytes = boundaryBytes(1);
    const memory = createSealedMemory('sgxio-profile', bytes);
    this.#mapping = mapShared(memory, bytes);
    closeDescriptor(memory);
    this.#bell = check(createEvent(), 'eventfd');
    const layout = channelLayout(0);
    this.#calls = new Calls(new WaitPolicy(true));
    this.#port = new RingPort(
      this.#mapping,
      layout,
      this.#bell,
      this.#bell,
      this.#calls,
      this.#calls.counters,
    );
    this.#calls.connect(this.#port);
    this.#books = new Calls(new WaitPolicy(true));
    this.#ids = new IdPort(this.#mapping, layout, this.#bell, this.#bell, this.#books, this.#books.counters);
    this.#books.connect(this.#ids);
    this.#reader = new SubmissionReader({
      words: new Int32Array(this.#mapping.buffer),
      entries: layout.submissionRing,
      size: RING_ENTRIES,
      taken: layout.submissionsTaken,
    });
    const sink = new RingSink(this.#mapping, layout, this.#bell, this.#journal);
    const arena = this.#mapping.address + layout.arena;
    this.#executor = new Executor(
      services,
      parseGrants({ listen: [], connect: [], files: [], streams: [], names: false }),
      arena,
      ARENA_BYTES,
      sink,
      [],
      this.#journal,
    );
  }

  /** Nanoseconds of each part for one call: the median over the batches. */
  measure(batches: number): Record<Part, number> {
    const all = { encode: [], start: [], serve: [], check: [], copy: [] } as Record<string, number[]>;
    for (let batch = 0; batch < batches; batch++) {
      all['encode']!.push(timed(() => this.#start(this.#books)));
      this.#answerBooks();
      all['start']!.push(timed(() => this.#start(this.#calls)));
      all['serve']!.push(timed(() => this.#serve()));
      all['check']!.push(timed(() => this.#take()));
      all['copy']!.push(timed(() => this.#copy()));
    }
    const [encode, start, serve, checks, copy] = Object.values(all).map(median) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return { encode, publish: Math.max(0, start - encode), serve, check: checks, copy };
  }

  #start(calls: Calls): void {
    for (let index = 0; index < BATCH; index++) {
      this.#slots[index] = calls.start(CallKind.nothing, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, undefined);
    }
  }

  /** Not timed: the calls that were only entered in the books are answered, so that their slots are free again. */
  #answerBooks(): void {
    for (let index = 0; index < BATCH; index++) {
      this.#books.complete(this.#ids.ids[index]!, 0, 0, 0);
      this.#books.finish(this.#slots[index]!);
    }
    this.#ids.count = 0;
  }

  /** What a worker does for each submission that it takes. */
  #serve(): void {
    const request = this.#request;
    while (this.#reader.read(request)) {
      this.#journal.take(request, this.#reader.taken);
      this.#journal.counters.begin(request.id, request.kind, 1);
      this.#executor.execute(request);
    }
  }

  #take(): void {
    this.#port.poll();
    for (let index = 0; index < BATCH; index++) this.#calls.finish(this.#slots[index]!);
  }

  #copy(): void {
    const port = this.#port;
    for (let index = 0; index < BATCH; index++) {
      const payload = port.reserve(this.#view, 0, PAYLOAD_BYTES);
      port.copyIn(payload, this.#view, 0, PAYLOAD_BYTES);
      port.release(payload);
    }
  }

  [Symbol.dispose](): void {
    this.#executor.closeAll();
    closeDescriptor(this.#bell);
    discardShared(this.#mapping);
  }
}

/** Keeps the ids of what is submitted and does nothing else. */
class IdPort extends RingPort {
  readonly ids = new Int32Array(BATCH);
  count = 0;

  override submit(_kind: number, id: number): void {
    this.ids[this.count++] = id;
  }
}

/** Nanoseconds for one call of a batch. */
function timed(run: () => void): number {
  const began = performance.now();
  run();
  return ((performance.now() - began) * NANOSECONDS_A_MILLISECOND) / BATCH;
}
