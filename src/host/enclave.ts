import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { BootDescriptor, bellsOf } from '../boundary/boot.ts';
import { decode } from '../boundary/decoder.ts';
import { exportsRoom } from '../boundary/launch.ts';
import { boundaryBytes, CONTROL, channelLayout, EnclaveState } from '../boundary/layout.ts';
import { EnclaveError, type ErrorCode, InvalidArgumentError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { FAILURE_TEXT_MAX, LAUNCH_PAYLOAD_MAX } from '../limits.ts';
import { closeDescriptor, createEvents, futexWake, signalEvent } from '../linux/events.ts';
import { createSealedMemory, discardShared, mapShared, type SharedMapping } from '../linux/memory.ts';
import { askBalloon, type Balloon } from './balloon.ts';
import { Copier, type PrivateBuffer } from './copier.ts';
import { diagnostics } from './diagnostics.ts';
import { bootOf, checkOptions, type EnclaveOptions, type EnclaveSettings } from './enclave-options.ts';
import { abandon, killProcess, startProcess } from './enclave-process.ts';
import { Graph, GraphRecorder } from './graph.ts';
import { LaunchChannel } from './launch-channel.ts';
import { Launcher, type LaunchOptions } from './launcher.ts';
import { LongTaskWatch } from './long-tasks.ts';
import { type MetricsRegistry, registerEnclave } from './metrics.ts';
import type { PinnedBuffer } from './pinned-memory.ts';
import { type EnclaveStatistics, readStatistics } from './statistics.ts';
import { Stream } from './stream.ts';
import type { ArgumentsOf, FunctionName, ResultOf, UntypedProgram } from './typed-program.ts';
import { Workers } from './workers.ts';

/** How an enclave ended: by itself or when asked (`code`), or by a signal. */
export interface EnclaveExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const START_MILLISECONDS = 10_000;
const STOP_MILLISECONDS = 2000;
/** How often the start is looked at, in milliseconds. */
const LOOK_MILLISECONDS = 1;

/**
 * An enclave as its host holds it: a process of its own, shared memory, and workers that serve its calls. Whatever ends it, every pending launch fails with an {@link EnclaveError} and nothing stays
 * behind.
 *
 * `Program` is the type of the program's module, `Enclave<typeof program>` with `import type * as program`: it
 * types the launches, and is not checked against the image.
 */
export class Enclave<Program extends object = UntypedProgram> {
  readonly #boundary: SharedMapping;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #child: ChildProcess;
  /** As the process has them, from {@link BootDescriptor.outcomeBell} on. */
  readonly #bells: readonly number[] = [];
  readonly #launcher: Launcher;
  readonly #copies: Copier | undefined;
  readonly #longTasks: LongTaskWatch | undefined;
  /** None where calls are served in place. */
  readonly #workers: Workers | undefined;
  #streams = 0;
  #ended: EnclaveError | undefined;
  #finalStatistics: EnclaveStatistics | undefined;
  /** Settles when the process has ended and everything it used is given back. */
  readonly exited: Promise<EnclaveExit>;
  readonly measurement: string;
  /** The name in the image's manifest. */
  readonly name: string;
  /** How many threads it has. */
  readonly threads: number;

  /** Starts an enclave from an image; resolves once its program waits for launches. */
  static async create<Program extends object = UntypedProgram>(
    image: Image,
    options: EnclaveOptions = {},
  ): Promise<Enclave<Program>> {
    const enclave = new Enclave<Program>(image, options);
    const began = performance.now();
    await enclave.#ready(options.startTimeout ?? START_MILLISECONDS);
    diagnostics.enclaveReady.publish({ enclave, milliseconds: performance.now() - began });
    return enclave;
  }

  private constructor(image: Image, options: EnclaveOptions) {
    const settings = checkOptions(image, options);
    const { strategy, pinnedBytes } = settings;
    const { threads, storeBytes, name } = image.manifest;
    this.threads = threads;
    this.measurement = image.measurement;
    this.name = name;
    const served = threads + (pinnedBytes > 0 ? 1 : 0);
    const memory: number[] = [];
    let child: ChildProcess | undefined;
    try {
      const bytes = boundaryBytes(threads, pinnedBytes);
      memory.push(createSealedMemory('sgxio-boundary', bytes));
      this.#boundary = mapShared(memory[0] as number, bytes);
      this.#words = new Int32Array(this.#boundary.buffer);
      this.#putImage(settings.encoded, options.fileSecret);
      this.#bells = createEvents(1 + 2 * served);
      if (storeBytes > 0) memory.push(createSealedMemory('sgxio-store', storeBytes));
      const [boundary, ...store] = memory as [number, ...number[]];
      child = startProcess(
        bootOf(image, options, settings),
        [boundary, ...this.#bells, ...store],
        settings.inPlace ? settings.grants.streams : [],
      );
      this.#child = child;
      if (!settings.inPlace) this.#workers = this.#startWorkers(settings, options);
    } catch (error) {
      if (child !== undefined) abandon(child);
      void this.#giveBack();
      throw error;
    } finally {
      for (const descriptor of memory) closeDescriptor(descriptor);
    }
    const channels = Array.from(
      { length: served },
      (_, channel) => new LaunchChannel(this.#boundary, channelLayout(channel), this.#enclaveBell(channel)),
    );
    this.#launcher = new Launcher(
      this.#boundary.buffer,
      channels,
      threads,
      this.#bell(BootDescriptor.outcomeBell),
      (thread) => this.#threadFailure(thread),
    );
    if (pinnedBytes > 0) {
      this.#copies = new Copier(this.#launcher, threads, this.#boundary.buffer, pinnedBytes);
    }
    if (options.longTasks !== undefined) {
      this.#longTasks = new LongTaskWatch(this.#launcher, channels.slice(0, threads), options.longTasks);
    }
    this.exited = this.#watchExit();
    const { measurement } = this;
    diagnostics.enclaveStart.publish({ enclave: this, measurement, strategy, pid: this.pid });
  }

  /** This process's own descriptor of the bell that the enclave knows as `descriptor`. */
  #bell(descriptor: number): number {
    return this.#bells[descriptor - BootDescriptor.outcomeBell] as number;
  }

  #enclaveBell(channel: number): number {
    return this.#bell(bellsOf(channel).enclaveBell);
  }

  /** The image, and behind it the secret, which the enclave wipes as soon as it has it. */
  #putImage(encoded: Uint8Array, fileSecret: Uint8Array | undefined): void {
    const room = new Uint8Array(this.#boundary.buffer);
    room.set(encoded, channelLayout(0).arena);
    if (fileSecret !== undefined) room.set(fileSecret, channelLayout(0).arena + encoded.length);
    Atomics.store(this.#words, CONTROL.imageBytes >> 2, encoded.length);
  }

  #startWorkers({ grants, directories, strategy }: EnclaveSettings, options: EnclaveOptions): Workers {
    const bells = Array.from({ length: this.threads }, (_, channel) => ({
      hostBell: this.#bell(bellsOf(channel).hostBell),
      enclaveBell: this.#enclaveBell(channel),
    }));
    const settings = {
      buffer: this.#boundary.buffer,
      bells,
      grants,
      directories,
      spins: strategy === 'exitless',
      engine: options.engine ?? 'auto',
      services: options.services,
      trace: options.trace,
      limit: options.workers,
    };
    return new Workers(settings, (error) => this.#fail(error));
  }

  async #ready(milliseconds: number): Promise<void> {
    const until = performance.now() + milliseconds;
    let ended = false;
    void this.exited.then(() => {
      ended = true;
    });
    for (;;) {
      const state = Atomics.load(this.#words, CONTROL.enclaveState >> 2);
      if (state === EnclaveState.ready) {
        this.#launcher.setFunctions(this.#exports());
        return;
      }
      if (ended || state === EnclaveState.failed) {
        await this.exited;
        throw this.#ended;
      }
      if (performance.now() > until) {
        this.#fail(
          new EnclaveError('SGXIO_ENCLAVE_FAILED', `the enclave did not start within ${milliseconds} ms`),
        );
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS));
    }
  }

  #reason(exit: EnclaveExit): EnclaveError {
    const state = Atomics.load(this.#words, CONTROL.enclaveState >> 2);
    if (state === EnclaveState.failed) return this.#failure();
    const how = exit.signal ?? `exit code ${exit.code}`;
    return state === EnclaveState.starting
      ? new EnclaveError('SGXIO_ENCLAVE_FAILED', `the enclave ended before it was ready (${how})`)
      : new EnclaveError('SGXIO_ENCLAVE_STOPPED', `the enclave has ended (${how})`);
  }

  /** What the program exports, as the enclave says: copied, bounded, and used as names alone. */
  #exports(): readonly string[] {
    const bytes = this.#copy(exportsRoom(channelLayout(0)), CONTROL.exportsBytes, LAUNCH_PAYLOAD_MAX);
    const names = decode(bytes, 'exports', LAUNCH_PAYLOAD_MAX);
    return Array.isArray(names) ? names.map(String) : [];
  }

  /** Bytes that the enclave wrote, as many as its word says, at most `maximum`. */
  #copy(start: number, lengthWord: number, maximum: number): Uint8Array<ArrayBuffer> {
    const length = Math.min(Math.max(0, Atomics.load(this.#words, lengthWord >> 2)), maximum);
    const bytes = new Uint8Array(length);
    bytes.set(new Uint8Array(this.#boundary.buffer, start, length));
    return bytes;
  }

  /** Why the enclave says it failed. Its text is only shown. */
  #failure(): EnclaveError {
    const { code, message } = this.#readFailure(CONTROL.failureText, CONTROL.failureBytes);
    const known = /^SGXIO_[A-Z_]{1,40}$/.test(code) ? (code as ErrorCode) : 'SGXIO_ENCLAVE_FAILED';
    return new EnclaveError(known, message || 'the enclave failed and did not say why');
  }

  #threadFailure(thread: number): EnclaveError {
    const { failureText, failureBytes } = channelLayout(thread);
    const { message } = this.#readFailure(failureText, failureBytes);
    const which = thread === this.threads ? 'the copy engine' : `thread ${thread}`;
    return new EnclaveError('SGXIO_THREAD_FAILED', `${which} of the enclave has died: ${message}`);
  }

  #readFailure(text: number, bytes: number): { code: string; message: string } {
    const [code = '', ...message] = new TextDecoder()
      .decode(this.#copy(text, bytes, FAILURE_TEXT_MAX))
      .split('\n');
    return { code, message: message.join(' ') };
  }

  /** The first reason counts. */
  #fail(reason: EnclaveError): void {
    this.#ended ??= reason;
    this.#launcher.fail(this.#ended);
    this.kill();
  }

  async #watchExit(): Promise<EnclaveExit> {
    const exit = await new Promise<EnclaveExit>((resolve) => {
      this.#child.once('error', (cause) => {
        const message = `the process of the enclave could not be started: ${cause.message}`;
        this.#fail(new EnclaveError('SGXIO_ENCLAVE_FAILED', message, { cause }));
        resolve({ code: null, signal: null });
      });
      this.#child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    this.#longTasks?.close();
    this.#fail(this.#reason(exit));
    await this.#giveBack();
    diagnostics.enclaveExit.publish({ enclave: this, ...exit, reason: this.#ended });
    return exit;
  }

  /** Gives back all that the enclave had of the host, or, when it could not be made, came to have. */
  async #giveBack(): Promise<void> {
    await this.#workers?.end();
    for (const descriptor of this.#bells) closeDescriptor(descriptor);
    if (this.#boundary === undefined) return;
    this.#finalStatistics = this.stats();
    discardShared(this.#boundary);
  }

  /** The process of the enclave. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Queues a call of a function that the program exports, and returns at once. Arguments and result are plain
   * data; what the function throws arrives as a {@link LaunchError} with its code and message.
   */
  launch<Name extends FunctionName<Program>>(
    name: Name,
    ...values: ArgumentsOf<Program, Name>
  ): Promise<ResultOf<Program, Name>> {
    return this.#launcher.launch(name, values) as Promise<ResultOf<Program, Name>>;
  }

  /** The same with a deadline, a signal, a priority or a thread of one's choice. */
  launchWith<Name extends FunctionName<Program>>(
    options: LaunchOptions,
    name: Name,
    ...values: ArgumentsOf<Program, Name>
  ): Promise<ResultOf<Program, Name>> {
    return this.#launcher.launch(name, values, options) as Promise<ResultOf<Program, Name>>;
  }

  /**
   * Launches and waits on this thread: the quickest round trip, for a thread that has nothing else to do. Its
   * event loop stands still meanwhile.
   */
  launchSync<Name extends FunctionName<Program>>(
    name: Name,
    ...values: ArgumentsOf<Program, Name>
  ): ResultOf<Program, Name> {
    return this.#launcher.launchSync(name, values, () => this.#isRunning()) as ResultOf<Program, Name>;
  }

  /** Resolves once the queue of launches has room: what a producer awaits that is faster than the enclave. */
  launchRoom(): Promise<void> {
    return this.#launcher.room();
  }

  /** A queue of work in order, beside others; its launches run on one thread, in turn unless told. */
  createStream(options: { readonly thread?: number } = {}): Stream<Program> {
    return new Stream(this.#launcher, () => this.#copier(), options.thread ?? this.#streams++ % this.threads);
  }

  /** Takes pinned memory: what lies in it is copied to and from the enclave at once, without a copy on the way. */
  pin(bytes: number): PinnedBuffer {
    return this.#copier().pin(bytes);
  }

  /** Pinned buffers that were not freed. */
  get pinnedBuffers(): number {
    return this.#copies?.pinnedCount ?? 0;
  }

  /** Makes a buffer in private memory that the host copies to and from: what the image keeps for it must suffice. */
  async createBuffer(bytes: number): Promise<PrivateBuffer> {
    return await this.#copier().createBuffer(bytes);
  }

  /** A buffer that the program made and lets the host copy to or from. With a key inside it is `sealed`. */
  adoptBuffer(handle: number, bytes: number, options: { readonly sealed?: boolean } = {}): PrivateBuffer {
    return this.#copier().adopt(handle, bytes, options.sealed ?? false);
  }

  #copier(): Copier {
    if (this.#copies !== undefined) return this.#copies;
    throw new InvalidArgumentError('this enclave has no copy engine: create it with pinnedBytes');
  }

  /**
   * Records a sequence of launches once, to run it many times for the price of one launch:
   * `await enclave.capture((graph) => { graph.launch('load', 1); graph.launch('score'); })`.
   */
  async capture(
    record: (recorder: GraphRecorder<Program>) => void,
    options: { readonly thread?: number } = {},
  ): Promise<Graph> {
    const recorder = new GraphRecorder<Program>(this.#launcher);
    record(recorder);
    return await Graph.capture(
      this.#launcher,
      options.thread ?? this.#launcher.leastLoaded(),
      recorder.steps,
    );
  }

  /**
   * Asks the heaps that a thread lets the host resize for so many frames of 4 KiB in all, or only how many they have;
   * resolves with what they have then.
   */
  balloon(frames?: number, options: { readonly thread?: number } = {}): Promise<Balloon> {
    return askBalloon(this.#launcher, options.thread ?? 0, frames);
  }

  /** Launches that were accepted and not yet answered. */
  get pendingLaunches(): number {
    return this.#launcher.pending;
  }

  /** Asks the system itself: an ended process stays a zombie until the event loop hears of it. */
  #isRunning(): boolean {
    try {
      return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${this.pid}/stat`, 'latin1'));
    } catch {
      return false;
    }
  }

  /** Accepts no more launches, lets those that were accepted end, and then stops; by force after `timeout` milliseconds. */
  async drain(timeout: number = STOP_MILLISECONDS): Promise<EnclaveExit> {
    const drained = this.#launcher.drain(
      new EnclaveError('SGXIO_ENCLAVE_STOPPED', 'the enclave is stopping and accepts no more launches'),
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeout);
    });
    await Promise.race([drained, late]);
    clearTimeout(timer);
    return this.stop();
  }

  /** What was counted so far, on both sides. Reading it disturbs neither. */
  stats(): EnclaveStatistics {
    return this.#finalStatistics ?? readStatistics(this.#boundary.buffer, this.threads, this.#workers);
  }

  /** Adds this enclave to the metrics of a Prometheus registry, until it ends. */
  metrics(registry: MetricsRegistry): void {
    registerEnclave(registry, this);
  }

  /** Asks the enclave to end, and ends it by force when it has not within `timeout` milliseconds. */
  async stop(timeout: number = STOP_MILLISECONDS): Promise<EnclaveExit> {
    Atomics.store(this.#words, CONTROL.stopRequested >> 2, 1);
    const force = setTimeout(() => this.kill(), timeout);
    this.#wake();
    try {
      return await this.exited;
    } finally {
      clearTimeout(force);
    }
  }

  /** Wakes the threads of the enclave however they sleep. */
  #wake(): void {
    for (let channel = 0; channel < this.threads; channel++) {
      futexWake(this.#boundary.address + channelLayout(channel).bell, 1);
      signalEvent(this.#enclaveBell(channel));
    }
  }

  /** Ends the enclave at once. */
  kill(): void {
    killProcess(this.#child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
