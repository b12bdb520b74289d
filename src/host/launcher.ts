import { encode } from '../boundary/encoder.ts';
import { LaunchKind, Priority } from '../boundary/launch.ts';
import { CONTROL } from '../boundary/layout.ts';
import { PollingLoop } from '../boundary/polling-loop.ts';
import { COPY_SPIN_MICROSECONDS, WaitPolicy } from '../boundary/waiting.ts';
import { AbortError, EnclaveError, InvalidArgumentError, SgxioError, TimeoutError } from '../errors.ts';
import { LAUNCH_PAYLOAD_MAX, LAUNCHES_QUEUED_MAX } from '../limits.ts';
import { drainEvent, EPOLLIN, pollDescriptor, yieldProcessor } from '../linux/events.ts';
import { keepLoaded } from '../linux/keep-loaded.ts';
import { type DescriptorWatch, watchDescriptor } from '../linux/watch.ts';
import type { Launch, LaunchChannel, Settler } from './launch-channel.ts';

/** How one launch is made. */
export interface LaunchOptions {
  /** Milliseconds after which the launch fails with a TimeoutError; its task is then asked to end. */
  readonly timeout?: number | undefined;
  /** Gives the launch up: it fails with an AbortError, and its task is asked to end. */
  readonly signal?: AbortSignal | undefined;
  /** Of launches that wait, those of a higher priority run first; `normal` unless told. */
  readonly priority?: keyof typeof Priority | undefined;
  /** The enclave thread to run on; the one with the fewest launches unless told. */
  readonly thread?: number | undefined;
}

/** Polls between two looks at the clock while a thread waits without its event loop. */
const POLLS_A_LOOK = 32;
/** How long such a wait polls before it sleeps, in milliseconds. */
const SPIN_MILLISECONDS = 1;
/** How long it sleeps before it looks whether the enclave is still there, in milliseconds. */
const SLEEP_MILLISECONDS = 100;
const NOTHING = new Uint8Array(0);
const NO_WORDS = [0, 0, 0] as const;

/** Queues launches for the threads of one enclave and settles them, without entering the enclave. */
export class Launcher {
  readonly #channels: readonly LaunchChannel[];
  readonly #threads: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #outcomeBell: number;
  readonly #policy = new WaitPolicy(true);
  readonly #loop: PollingLoop;
  readonly #watch: DescriptorWatch;
  readonly #onThreadDeath: (thread: number) => EnclaveError;
  #functions: ReadonlyMap<string, number> = new Map();
  #names: readonly string[] = [];
  #sleeps = 0;
  #closed: EnclaveError | undefined;
  #ended = false;
  /** Those who wait for a launch to be answered: for room, or for all of them. */
  #waiting: (() => void)[] = [];
  #keepsAlive = false;

  /**
   * The first `threads` channels are those of the program, and run its functions. `outcomeBell` wakes this event
   * loop. `onThreadDeath` says of a thread that died why.
   */
  constructor(
    buffer: SharedArrayBuffer,
    channels: readonly LaunchChannel[],
    threads: number,
    outcomeBell: number,
    onThreadDeath: (thread: number) => EnclaveError,
  ) {
    this.#channels = channels;
    this.#threads = threads;
    this.#words = new Int32Array(buffer);
    this.#outcomeBell = outcomeBell;
    this.#onThreadDeath = onThreadDeath;
    this.#loop = new PollingLoop({
      poll: () => this.#poll(),
      awaits: () => this.pending > 0,
      park: () => this.#park(),
      unpark: () => this.#unpark(),
      rest: yieldProcessor,
      spinMicroseconds: () => (this.#isCopying ? COPY_SPIN_MICROSECONDS : this.#policy.spinMicroseconds),
      record: (microseconds) => this.#policy.record(microseconds),
      fail: (error) => this.fail(misbehaved(error)),
    });
    keepLoaded();
    this.#watch = watchDescriptor(outcomeBell, () => this.#loop.wake());
    this.#watch.keepAlive(false);
    this.#loop.wake();
  }

  /** Sets what can be launched: the program's exports in the order in which the enclave counts them. */
  setFunctions(names: readonly string[]): void {
    this.#names = names;
    this.#functions = new Map(names.map((name, index) => [name, index]));
  }

  nameOf({ kind, handle }: Launch): string {
    if (kind === LaunchKind.run) return this.#names[handle] ?? '';
    return kind === LaunchKind.graph ? `graph ${handle}` : `service ${handle}`;
  }

  /** Launches that were accepted and not yet answered. */
  get pending(): number {
    return this.#count((channel) => channel.inFlight + channel.queued);
  }

  /** Whether the copy engine, whose channel is the last, is at work. */
  get #isCopying(): boolean {
    return this.#channels.slice(this.#threads).some((channel) => channel.inFlight > 0);
  }

  get #queued(): number {
    return this.#count((channel) => channel.queued);
  }

  #count(count: (channel: LaunchChannel) => number): number {
    let sum = 0;
    for (const channel of this.#channels) sum += count(channel);
    return sum;
  }

  /** Queues one launch and returns at once. The promise settles when the program's function has. */
  launch(name: string, values: readonly unknown[], options?: LaunchOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.start(name, values, options, { resolve, reject });
    });
  }

  /** The same for a settler. What is wrong with the launch itself is thrown; what is returned gives it up. */
  start(
    name: string,
    values: readonly unknown[],
    options: LaunchOptions | undefined,
    settler: Settler,
  ): () => void {
    return this.submit(LaunchKind.run, this.functionNumber(name), values, options, settler);
  }

  /** Launches a function, a service or a graph by its number. */
  submit(
    kind: number,
    handle: number,
    values: readonly unknown[],
    options: LaunchOptions | undefined,
    settler: Settler,
    words: readonly [number, number, number] = NO_WORDS,
  ): () => void {
    if (this.#closed !== undefined) throw this.#closed;
    const priority = Priority[options?.priority ?? 'normal'];
    if (priority === undefined) throw new InvalidArgumentError(`there is no priority '${options?.priority}'`);
    const argumentBytes = values.length === 0 ? NOTHING : encode(values, 'arguments', LAUNCH_PAYLOAD_MAX);
    if (this.#queued >= LAUNCHES_QUEUED_MAX) {
      throw new SgxioError(
        'SGXIO_CHANNEL_FULL',
        `${LAUNCHES_QUEUED_MAX} launches wait already; await enclave.launchRoom() before the next`,
      );
    }
    const channel = this.#choose(kind, options?.thread);
    const limited =
      options?.timeout === undefined && options?.signal === undefined
        ? undefined
        : new LimitedSettler(settler, options);
    const launch = { kind, handle, words, argumentBytes, priority, settler: limited ?? settler, id: 0 };
    const giveUp = (): void => {
      channel.cancel(launch);
      this.#afterOutcomes();
    };
    limited?.start(giveUp);
    channel.submit(launch);
    this.#keepAlive(true);
    this.#loop.wake();
    if (limited === undefined) return giveUp;
    return () => {
      limited.end();
      giveUp();
    };
  }

  /** The number by which the enclave knows a function of its program. */
  functionNumber(name: string): number {
    const number = this.#functions.get(name);
    if (number !== undefined) return number;
    if (this.#closed !== undefined) throw this.#closed;
    throw new SgxioError(
      'SGXIO_LAUNCH_REJECTED',
      `the program exports no function ${JSON.stringify(name)}; it has ${this.#names.join(', ') || 'none'}`,
    );
  }

  #choose(kind: number, thread: number | undefined): LaunchChannel {
    if (thread !== undefined) {
      const channel = this.#channels[thread];
      if (channel === undefined || (isOfProgram(kind) && thread >= this.#threads)) {
        throw new InvalidArgumentError(`there is no thread ${thread}; there are ${this.#threads}`);
      }
      if (channel.isDead) throw this.#onThreadDeath(thread);
      return channel;
    }
    return this.#channels[this.leastLoaded()] as LaunchChannel;
  }

  /** The living thread with the fewest launches; of several, the first, so that few threads stay awake. */
  leastLoaded(): number {
    let best = 0;
    let bestLoad = Number.POSITIVE_INFINITY;
    for (let index = 0; index < this.#threads; index++) {
      const channel = this.#channels[index] as LaunchChannel;
      const load = channel.isDead ? Number.POSITIVE_INFINITY : channel.inFlight + channel.queued;
      if (load < bestLoad) {
        best = index;
        bestLoad = load;
      }
    }
    return best;
  }

  #keepAlive(keep: boolean): void {
    if (this.#keepsAlive === keep) return;
    this.#keepsAlive = keep;
    this.#watch.keepAlive(keep);
  }

  #poll(): number {
    let count = 0;
    for (const [thread, channel] of this.#channels.entries()) {
      const { isDead } = channel;
      count += channel.poll();
      if (isDead) count += channel.fail(this.#onThreadDeath(thread));
    }
    if (count > 0) this.#afterOutcomes();
    return count;
  }

  readonly #afterOutcomes = (): void => {
    if (this.pending === 0) this.#keepAlive(false);
    if (this.#waiting.length > 0) for (const look of this.#waiting.splice(0)) look();
  };

  #park(): boolean {
    this.#sleeps = (this.#sleeps & 0x3fff_ffff) + 1;
    Atomics.store(this.#words, CONTROL.outcomesParked >> 2, this.#sleeps);
    let waiting = false;
    for (const channel of this.#channels) if (channel.acknowledge()) waiting = true;
    return waiting;
  }

  #unpark(): void {
    Atomics.store(this.#words, CONTROL.outcomesParked >> 2, 0);
    drainEvent(this.#outcomeBell);
  }

  /**
   * Launches and waits on this thread, which does nothing else meanwhile. `isAlive` is asked now and then whether
   * the enclave's process still runs: this thread's event loop cannot tell.
   */
  launchSync(name: string, values: readonly unknown[], isAlive: () => boolean): unknown {
    const outcome = new SyncOutcome();
    this.start(name, values, undefined, outcome);
    let spinUntil = performance.now() + SPIN_MILLISECONDS;
    while (!outcome.settled) {
      if (this.#pollSeveral() > 0) continue;
      if (performance.now() < spinUntil) {
        yieldProcessor();
        continue;
      }
      if (
        !this.#park() &&
        pollDescriptor(this.#outcomeBell, EPOLLIN, SLEEP_MILLISECONDS) === 0 &&
        !isAlive()
      ) {
        throw new EnclaveError('SGXIO_ENCLAVE_STOPPED', 'the enclave ended during the launch');
      }
      this.#unpark();
      spinUntil = performance.now() + SPIN_MILLISECONDS;
    }
    return outcome.take();
  }

  #pollSeveral(): number {
    let count = 0;
    try {
      for (let polls = 0; polls < POLLS_A_LOOK && count === 0; polls++) count = this.#poll();
    } catch (error) {
      this.fail(misbehaved(error));
    }
    return count;
  }

  /** Resolves once a launch would be accepted. */
  async room(): Promise<void> {
    await this.#until(() => this.#queued < LAUNCHES_QUEUED_MAX);
  }

  /** Accepts no more launches, and resolves when those that were accepted are answered. */
  async drain(reason: EnclaveError): Promise<void> {
    this.#closed ??= reason;
    await this.#until(() => this.pending === 0);
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!this.#ended && !condition()) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Ends it: every launch that is not answered fails with `error`, and so does every later one. */
  fail(error: EnclaveError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#closed = error;
    this.#loop.end();
    this.#watch.close();
    for (const channel of this.#channels) channel.fail(error);
    for (const look of this.#waiting.splice(0)) look();
  }
}

/** What the copy engine does not run. */
function isOfProgram(kind: number): boolean {
  return kind === LaunchKind.run || kind === LaunchKind.graph;
}

function misbehaved(cause: unknown): EnclaveError {
  return new EnclaveError('SGXIO_ENCLAVE_FAILED', 'the enclave answered what no enclave answers', { cause });
}

/** Gives a launch up at a deadline or by a signal. Its answer, when it comes then, is nobody's any more. */
class LimitedSettler implements Settler {
  readonly #settler: Settler;
  readonly #options: LaunchOptions;
  #cancel: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #settled = false;

  constructor(settler: Settler, options: LaunchOptions) {
    this.#settler = settler;
    this.#options = options;
  }

  /** Begins to count. Throws when the signal is aborted already. */
  start(cancel: () => void): void {
    const { signal, timeout } = this.#options;
    if (signal?.aborted === true) throw aborted(signal);
    this.#cancel = cancel;
    signal?.addEventListener('abort', this.#abort, { once: true });
    if (timeout === undefined || !Number.isFinite(timeout)) return;
    this.#timer = setTimeout(
      () => this.#giveUp(new TimeoutError(`the launch took more than ${timeout} ms`)),
      Math.min(Math.max(0, timeout), 0x7fff_ffff),
    );
  }

  resolve(value: unknown): void {
    if (this.end()) this.#settler.resolve(value);
  }

  reject(error: Error): void {
    if (this.end()) this.#settler.reject(error);
  }

  readonly #abort = (): void => this.#giveUp(aborted(this.#options.signal as AbortSignal));

  #giveUp(error: Error): void {
    this.#cancel();
    this.reject(error);
  }

  /** Limits and tells no more. True the first time. */
  end(): boolean {
    const first = !this.#settled;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#abort);
    return first;
  }
}

function aborted(signal: AbortSignal): AbortError {
  return new AbortError('the launch was aborted', { cause: signal.reason });
}

class SyncOutcome implements Settler {
  settled = false;
  #value: unknown;
  #error: Error | undefined;

  resolve(value: unknown): void {
    this.settled = true;
    this.#value = value;
  }

  reject(error: Error): void {
    this.settled = true;
    this.#error = error;
  }

  take(): unknown {
    if (this.#error !== undefined) throw this.#error;
    return this.#value;
  }
}
