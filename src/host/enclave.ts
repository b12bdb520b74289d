import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { type Boot, BootDescriptor, bellsOf, type Strategy, strategies } from '../boundary/boot.ts';
import { decode } from '../boundary/decoder.ts';
import { type Grants, parseGrants } from '../boundary/grants.ts';
import { exportsRoom } from '../boundary/launch.ts';
import { boundaryBytes, CONTROL, channelLayout, EnclaveState } from '../boundary/layout.ts';
import { EnclaveError, type ErrorCode, InvalidArgumentError } from '../errors.ts';
import { encodeImage, type Image } from '../image/image.ts';
import {
  COPY_CHUNK_BYTES,
  FAILURE_TEXT_MAX,
  FILE_SECRET_BYTES,
  IMAGE_BYTES_MAX,
  LAUNCH_PAYLOAD_MAX,
  PINNED_BYTES_MAX,
  WASM_PAGE_BYTES,
} from '../limits.ts';
import { closeDescriptor, createEvent, futexWake, signalEvent } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import { createSealedMemory, discardShared, mapShared, type SharedMapping } from '../linux/memory.ts';
import { askBalloon, type Balloon } from './balloon.ts';
import type { CallTrace } from './call-trace.ts';
import { Copier, type PrivateBuffer } from './copier.ts';
import type { ServiceModule } from './custom-services.ts';
import { diagnostics } from './diagnostics.ts';
import { startProcess } from './enclave-process.ts';
import { checkEngine, type Engine } from './engine.ts';
import { Graph, GraphRecorder } from './graph.ts';
import { LaunchChannel } from './launch-channel.ts';
import { Launcher, type LaunchOptions } from './launcher.ts';
import { type LongTaskOptions, LongTaskWatch } from './long-tasks.ts';
import { type MetricsRegistry, registerEnclave } from './metrics.ts';
import { directoriesOf } from './mounts.ts';
import type { PinnedBuffer } from './pinned-memory.ts';
import { type EnclaveStatistics, readStatistics } from './statistics.ts';
import { Stream } from './stream.ts';
import type { ArgumentsOf, FunctionName, ResultOf, UntypedProgram } from './typed-program.ts';
import { checkWorkers, Workers } from './workers.ts';

/** How an enclave is created. */
export interface EnclaveOptions {
  /** How its calls are made; `exitless` unless told. */
  readonly strategy?: Strategy;
  /**
   * How its workers make calls that wait for a disk: by `direct` system calls, from threads of their own, or reads
   * and writes by io_uring (`uring`). `auto`, unless told, is io_uring where the kernel allows it. It concerns no strategy in place.
   */
  readonly engine?: Engine;
  /**
   * How many threads serve its calls at most: half of the cores unless told, never more than the enclave has threads.
   * There is one at first; more come and go with the load. It concerns no strategy in place.
   */
  readonly workers?: number;
  /** What `exit-sgx` charges for each call, in nanoseconds. */
  readonly exitNanoseconds?: number;
  /** The host's directory for each mount that the image is granted: `{ '/data': '/srv/data' }`. */
  readonly directories?: Readonly<Record<string, string>>;
  /**
   * 32 bytes that the keys of protected mounts are derived from. The host that gives them can read the mounts: keep
   * them where only the one who starts the enclave has access.
   */
  readonly fileSecret?: Uint8Array;
  /** Serves some kinds of calls in a way of the user's own. */
  readonly services?: ServiceModule;
  /** Writes down every call that its workers serve. */
  readonly trace?: CallTrace;
  /** How long it may take to start, in milliseconds. */
  readonly startTimeout?: number;
  /** Reports tasks that compute for too long without a pause; nothing watches for them unless told. */
  readonly longTasks?: LongTaskOptions;
  /**
   * Bytes of the boundary for copies between the host's memory and private buffers, with a thread of the enclave
   * that makes them. There are no copies unless told. Each MiB of it that is not touched costs nothing; 2 MiB of
   * it serve copies of memory that is not pinned.
   */
  readonly pinnedBytes?: number;
}

/** How an enclave ended: by itself or when asked (`code`), or by a signal. */
export interface EnclaveExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const START_MILLISECONDS = 10_000;
const STOP_MILLISECONDS = 2000;
/** How often the start is looked at, in milliseconds. */
const LOOK_MILLISECONDS = 1;
const PINNED_BYTES_MIN: number = 2 * COPY_CHUNK_BYTES;

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
  readonly #bells: readonly number[];
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
    const strategy = options.strategy ?? 'exitless';
    if (!strategies.includes(strategy)) {
      throw new InvalidArgumentError(
        `there is no strategy '${strategy}'; there are ${strategies.join(', ')}`,
      );
    }
    checkEngine(options.engine);
    checkWorkers(options.workers);
    this.threads = image.manifest.threads;
    const grants = parseGrants(image.manifest.grants);
    const directories = directoriesOf(grants.files, options.directories ?? {});
    const inPlace = strategy === 'direct' || strategy === 'exit-sgx';
    const pinnedBytes = checkPinnedBytes(options.pinnedBytes);
    const served = this.threads + (pinnedBytes > 0 ? 1 : 0);
    const bytes = boundaryBytes(this.threads, pinnedBytes);
    const memory = createSealedMemory('sgxio-boundary', bytes);
    this.#boundary = mapShared(memory, bytes);
    this.#words = new Int32Array(this.#boundary.buffer);
    this.#putImage(image, options.fileSecret);
    this.measurement = image.measurement;
    this.name = image.manifest.name;
    this.#bells = Array.from({ length: 1 + 2 * served }, () => check(createEvent(), 'eventfd'));
    const boot: Boot = {
      channels: this.threads,
      pinnedBytes,
      host: process.pid,
      measurement: image.measurement,
      strategy,
      exitNanoseconds: options.exitNanoseconds ?? 0,
      directories: inPlace ? directories : [],
      hasFileSecret: options.fileSecret !== undefined,
      services: options.services,
    };
    const { storeBytes } = image.manifest;
    const store = storeBytes === 0 ? [] : [createSealedMemory('sgxio-store', storeBytes)];
    const streams = inPlace ? grants.streams : [];
    this.#child = startProcess(boot, [memory, ...this.#bells, ...store], streams);
    for (const descriptor of [memory, ...store]) closeDescriptor(descriptor);
    if (!inPlace) this.#workers = this.#startWorkers(grants, directories, options, strategy);
    const channels = Array.from(
      { length: served },
      (_, channel) => new LaunchChannel(this.#boundary, channelLayout(channel), this.#enclaveBell(channel)),
    );
    this.#launcher = new Launcher(
      this.#boundary.buffer,
      channels,
      this.threads,
      this.#bell(BootDescriptor.outcomeBell),
      (thread) => this.#threadFailure(thread),
    );
    if (pinnedBytes > 0) {
      this.#copies = new Copier(this.#launcher, this.threads, this.#boundary.buffer, pinnedBytes);
    }
    if (options.longTasks !== undefined) {
      this.#longTasks = new LongTaskWatch(this.#launcher, channels.slice(0, this.threads), options.longTasks);
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
  #putImage(image: Image, fileSecret: Uint8Array | undefined): void {
    const encoded = encodeImage(image);
    if (fileSecret !== undefined && fileSecret.length !== FILE_SECRET_BYTES) {
      throw new InvalidArgumentError(
        `a file secret has ${FILE_SECRET_BYTES} bytes, not ${fileSecret.length}`,
      );
    }
    if (encoded.length > IMAGE_BYTES_MAX) {
      throw new InvalidArgumentError(`an image of ${encoded.length} bytes is larger than ${IMAGE_BYTES_MAX}`);
    }
    new Uint8Array(this.#boundary.buffer).set(encoded, channelLayout(0).arena);
    const room = new Uint8Array(this.#boundary.buffer);
    if (fileSecret !== undefined) room.set(fileSecret, channelLayout(0).arena + encoded.length);
    Atomics.store(this.#words, CONTROL.imageBytes >> 2, encoded.length);
  }

  #startWorkers(
    grants: Grants,
    directories: readonly string[],
    options: EnclaveOptions,
    strategy: Strategy,
  ): Workers {
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
      this.#child.once('error', () => resolve({ code: null, signal: null }));
      this.#child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    this.#longTasks?.close();
    this.#fail(this.#reason(exit));
    await this.#workers?.end();
    for (const descriptor of this.#bells) closeDescriptor(descriptor);
    this.#finalStatistics = this.stats();
    discardShared(this.#boundary);
    diagnostics.enclaveExit.publish({ enclave: this, ...exit, reason: this.#ended });
    return exit;
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
    this.#child.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Room for two chunks at least, in whole pages of WebAssembly. */
function checkPinnedBytes(bytes = 0): number {
  const rounded = Math.ceil(bytes / WASM_PAGE_BYTES) * WASM_PAGE_BYTES;
  if (bytes === 0 || (rounded >= PINNED_BYTES_MIN && rounded <= PINNED_BYTES_MAX)) return rounded;
  throw new InvalidArgumentError(`pinnedBytes is 0, or from ${PINNED_BYTES_MIN} to ${PINNED_BYTES_MAX}`);
}
