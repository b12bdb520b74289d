import { decode } from '../boundary/decoder.ts';
import { encode } from '../boundary/encoder.ts';
import type { Value } from '../boundary/encoding.ts';
import {
  generationOf,
  LaunchKind,
  launchRing,
  launchRoom,
  nextGeneration,
  OutcomeStatus,
  outcomeRing,
  outcomeRoom,
  PRIORITIES,
  ServiceNumber,
  slotOf,
} from '../boundary/launch.ts';
import { type ChannelLayout, CONTROL } from '../boundary/layout.ts';
import { CompletionWriter, Request, SubmissionReader } from '../boundary/ring.ts';
import { AbortError, HostViolation } from '../errors.ts';
import { LAUNCH_PAYLOAD_MAX, LAUNCHES_IN_FLIGHT_MAX, LAUNCHES_STARTED_MAX } from '../limits.ts';
import { signalEvent } from '../linux/events.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { Graphs } from './graphs.ts';
import { LaunchRejection } from './launchable.ts';
import { TaskScope } from './tasks.ts';

/** A function that a program exports. */
export type Launchable = (...values: unknown[]) => unknown;

export type ServiceName = keyof typeof ServiceNumber;
export type CopyRun = (isIn: boolean, handle: number, buffer: number, pinned: number, bytes: number) => void;

const NOTHING = new Uint8Array(0);

/** A launch that was taken and not yet answered. */
interface Launch {
  readonly id: number;
  readonly launched: Launchable;
  readonly argumentBytes: Uint8Array<ArrayBuffer>;
  readonly scope: TaskScope;
  started: boolean;
}

/**
 * Takes what the host launches on one thread and runs it. A launch is a request, not an entry: the enclave looks
 * for it when it gets to it. Arguments are copied in before they are decoded; each submission is one launch, and
 * one that names a launch again, or one that is running, is a violation.
 */
export class LaunchServer {
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #layout: ChannelLayout;
  readonly #reader: SubmissionReader;
  readonly #writer: CompletionWriter;
  readonly #request = new Request();
  readonly #launches: (Launch | undefined)[] = new Array(LAUNCHES_IN_FLIGHT_MAX).fill(undefined);
  readonly #generations = new Int32Array(LAUNCHES_IN_FLIGHT_MAX);
  /** Launches that wait to be started, for each priority first come first. */
  readonly #queues: readonly Set<Launch>[] = Array.from({ length: PRIORITIES }, () => new Set<Launch>());
  readonly #outcomeBell: number;
  #exports: readonly Launchable[] = [];
  #copyRun: CopyRun | undefined;
  #services: readonly (Launchable | undefined)[] = [];
  readonly #graphs = new Graphs();
  #queued = 0;
  #looks = 0;
  #sleeps = 0;
  #rung = 0;

  /** `outcomeBell` is the descriptor that wakes the host's event loop. */
  constructor(boundary: SharedMapping, layout: ChannelLayout, outcomeBell: number) {
    this.#bytes = new Uint8Array(boundary.buffer);
    this.#words = new Int32Array(boundary.buffer);
    this.#layout = layout;
    this.#reader = new SubmissionReader(launchRing(this.#words, layout));
    this.#writer = new CompletionWriter(outcomeRing(this.#words, layout));
    this.#outcomeBell = outcomeBell;
  }

  /**
   * Sets what can be launched; a launch names a function by its place in these lists. `services` are those of the
   * enclave itself.
   */
  serve(
    exports: readonly Launchable[],
    services: Readonly<Partial<Record<ServiceName, Launchable>>>,
    copyRun?: CopyRun,
  ): void {
    this.#copyRun = copyRun;
    this.#exports = exports;
    const all: Readonly<Partial<Record<ServiceName, Launchable>>> = {
      ...services,
      captureGraph: (steps) => this.#graphs.capture(exports, steps),
      releaseGraph: (graph) => this.#graphs.release(graph),
    };
    this.#services = Object.keys(ServiceNumber).map((name) => all[name as ServiceName]);
  }

  /** What a launch runs; its numbers are a private copy. */
  #functionOf({ kind, handle, a1, a2, a3 }: Request, scope: TaskScope): Launchable | undefined {
    if (kind === LaunchKind.run) return this.#exports[handle];
    if (kind === LaunchKind.service) return this.#services[handle];
    if (kind === LaunchKind.graph) return () => this.#graphs.run(handle, scope);
    const copyRun = this.#copyRun;
    if (copyRun === undefined || (kind !== LaunchKind.copyIn && kind !== LaunchKind.copyOut))
      return undefined;
    return () => copyRun(kind === LaunchKind.copyIn, handle, a1 >>> 0, a2 >>> 0, a3 >>> 0);
  }

  /** Takes the launches that have come in, starts some of those that wait, and says how many those were. */
  poll(): number {
    this.#words[this.#layout.looks >> 2] = this.#looks = (this.#looks + 1) | 0;
    let started = 0;
    this.#take();
    while (this.#queued > 0 && started < LAUNCHES_STARTED_MAX) {
      started++;
      this.#start(this.#next());
      this.#take();
    }
    return started;
  }

  /** Asks to be woken for the next launch; true when there is one already. */
  park(): boolean {
    this.#sleeps = (this.#sleeps & 0x3fff_ffff) + 1;
    this.#reader.acknowledge();
    Atomics.store(this.#words, this.#layout.launchesParked >> 2, this.#sleeps);
    return this.#queued > 0 || this.#reader.waiting();
  }

  unpark(): void {
    Atomics.store(this.#words, this.#layout.launchesParked >> 2, 0);
  }

  #take(): void {
    const request = this.#request;
    while (this.#reader.read(request)) {
      if (request.kind === LaunchKind.cancel) this.#cancel(request.a0);
      else this.#enqueue(request);
    }
  }

  #enqueue(request: Request): void {
    const { kind, id, handle, length, a0: priority } = request;
    const slot = slotOf(id);
    const scope = new TaskScope();
    const launched = this.#functionOf(request, scope);
    const queue = this.#queues[priority];
    if (launched === undefined || queue === undefined || length < 0 || length > LAUNCH_PAYLOAD_MAX) {
      throw new HostViolation(
        `launch ${id} of kind ${kind} and function ${handle} with ${length} bytes and priority ${priority}`,
      );
    }
    if (this.#launches[slot] !== undefined)
      throw new HostViolation(`launch ${id} names a slot whose launch is running`);
    if (generationOf(id) !== nextGeneration(this.#generations[slot] as number))
      throw new HostViolation(`launch ${id} is not the next of its slot`);
    this.#generations[slot] = generationOf(id);
    const room = launchRoom(this.#layout, slot, length);
    const argumentBytes = length > 0 ? this.#bytes.slice(room, room + length) : NOTHING;
    const launch: Launch = { id, launched, argumentBytes, scope, started: false };
    this.#launches[slot] = launch;
    queue.add(launch);
    this.#queued++;
  }

  #next(): Launch {
    for (const queue of this.#queues) {
      for (const launch of queue) {
        queue.delete(launch);
        this.#queued--;
        return launch;
      }
    }
    throw new RangeError('no launch waits');
  }

  /** An id that is not in flight was answered while its cancellation was under way. */
  #cancel(id: number): void {
    const launch = this.#launches[slotOf(id)];
    if (launch === undefined || launch.id !== id) return;
    const reason = new AbortError('the host gave the launch up');
    launch.scope.cancel(reason);
    if (launch.started) return;
    for (const queue of this.#queues) if (queue.delete(launch)) this.#queued--;
    this.#fail(launch, OutcomeStatus.rejected, reason);
  }

  #start(launch: Launch): void {
    launch.started = true;
    let status: number = OutcomeStatus.rejected;
    try {
      const values = decodeArguments(launch.argumentBytes);
      status = OutcomeStatus.threw;
      const result = launch.scope.enter(() => launch.launched(...values));
      if (isPromise(result) || launch.scope.hasChildren) void this.#await(launch, result);
      else this.#return(launch, result);
    } catch (error) {
      this.#fail(launch, status, error);
    }
  }

  async #await(launch: Launch, running: unknown): Promise<void> {
    try {
      this.#return(launch, await launch.scope.settle(running));
    } catch (error) {
      this.#fail(launch, OutcomeStatus.threw, error);
    }
  }

  #return(launch: Launch, value: unknown): void {
    const outcome = value === undefined ? NOTHING : encode(value, 'result', LAUNCH_PAYLOAD_MAX);
    this.#answer(launch, OutcomeStatus.returned, outcome);
  }

  #fail(launch: Launch, status: number, error: unknown): void {
    const outcome = encode(describe(error), 'error', LAUNCH_PAYLOAD_MAX);
    this.#answer(launch, error instanceof LaunchRejection ? OutcomeStatus.rejected : status, outcome);
  }

  #answer({ id }: Launch, status: number, outcome: Uint8Array<ArrayBuffer>): void {
    if (!this.#writer.hasRoom())
      throw new HostViolation('the host takes no outcomes though it launches more');
    const slot = slotOf(id);
    const { length } = outcome;
    if (length > 0) this.#bytes.set(outcome, outcomeRoom(this.#layout, slot, length));
    this.#launches[slot] = undefined;
    this.#writer.write(id, status, length, 0);
    const parked = Atomics.load(this.#words, CONTROL.outcomesParked >> 2);
    if (parked === 0 || parked === this.#rung) return;
    this.#rung = parked;
    signalEvent(this.#outcomeBell);
  }
}

function decodeArguments(bytes: Uint8Array<ArrayBuffer>): readonly Value[] {
  if (bytes.length === 0) return [];
  const values = decode(bytes, 'arguments', LAUNCH_PAYLOAD_MAX);
  if (!Array.isArray(values)) throw new LaunchRejection('the arguments of a launch are a list');
  return values;
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}

/** What of an error crosses to the host: its name, code and message, never its stack or its other properties. */
function describe(error: unknown): { name: string; code: string; message: string } {
  if (!(error instanceof Error))
    return { name: 'Error', code: '', message: 'the program threw something that is no Error' };
  const code = (error as { code?: unknown }).code;
  return {
    name: crossing(error.name, 128),
    code: crossing(code, 128),
    message: crossing(error.message, 8192),
  };
}

function crossing(text: unknown, lengthMax: number): string {
  return typeof text === 'string' ? text.slice(0, lengthMax).toWellFormed() : '';
}
