import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Boot, type Strategy, strategies } from '../boundary/boot.ts';
import { parseGrants, type StreamName } from '../boundary/grants.ts';
import { boundaryBytes, CONTROL, channelLayout, EnclaveState } from '../boundary/layout.ts';
import { EnclaveError, type ErrorCode, InvalidArgumentError } from '../errors.ts';
import { encodeImage, type Image } from '../image/image.ts';
import { FAILURE_TEXT_MAX, IMAGE_BYTES_MAX } from '../limits.ts';
import { closeDescriptor, createEvent, futexWake, signalEvent } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import { createSealedMemory, discardShared, mapShared, type SharedMapping } from '../linux/memory.ts';
import type { ServiceModule } from './custom-services.ts';
import { Launcher } from './launcher.ts';
import { directoriesOf } from './mounts.ts';
import type { WorkerData } from './worker-main.ts';

/** How an enclave is created. */
export interface EnclaveOptions {
  /** How its calls are made; `exitless` unless told. */
  readonly strategy?: Strategy;
  /** What `exit-sgx` charges for each call, in nanoseconds. */
  readonly exitNanoseconds?: number;
  /** The host's directory for each mount that the image is granted: `{ '/data': '/srv/data' }`. */
  readonly directories?: Readonly<Record<string, string>>;
  /** Serves some kinds of calls in a way of the user's own. */
  readonly services?: ServiceModule;
  /** How long it may take to start, in milliseconds. */
  readonly startTimeout?: number;
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

const programs: Readonly<Record<Strategy, string>> = {
  exitless: '../enclave/main.js',
  exit: '../enclave/main.js',
  direct: '../direct-main.js',
  'exit-sgx': '../direct-main.js',
};

/**
 * An enclave as its host holds it: a process of its own, shared memory, and a worker thread that serves its
 * calls. Whatever ends it, every pending launch fails with an {@link EnclaveError} and nothing stays behind.
 */
export class Enclave {
  readonly #boundary: SharedMapping;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #child: ChildProcess;
  readonly #descriptors: readonly number[];
  readonly #launcher: Launcher;
  readonly #workers: Worker[] = [];
  readonly #stopWorkers = new Int32Array(new SharedArrayBuffer(4));
  #ended: EnclaveError | undefined;
  /** Settles when the process has ended and everything it used is given back. */
  readonly exited: Promise<EnclaveExit>;
  readonly measurement: string;

  /** Starts an enclave from an image; resolves once its program waits for launches. */
  static async create(image: Image, options: EnclaveOptions = {}): Promise<Enclave> {
    const enclave = new Enclave(image, options);
    await enclave.#ready(options.startTimeout ?? START_MILLISECONDS);
    return enclave;
  }

  private constructor(image: Image, options: EnclaveOptions) {
    const strategy = options.strategy ?? 'exitless';
    if (!strategies.includes(strategy)) {
      throw new InvalidArgumentError(
        `there is no strategy '${strategy}'; there are ${strategies.join(', ')}`,
      );
    }
    const grants = parseGrants(image.manifest.grants);
    const directories = directoriesOf(grants.files, options.directories ?? {});
    const inPlace = strategy === 'direct' || strategy === 'exit-sgx';
    const bytes = boundaryBytes(1);
    const memory = createSealedMemory('sgxio-boundary', bytes);
    this.#boundary = mapShared(memory, bytes);
    this.#words = new Int32Array(this.#boundary.buffer);
    this.#putImage(image);
    this.measurement = image.measurement;
    const bells = Array.from({ length: 3 }, () => check(createEvent(), 'eventfd'));
    const [outcomeBell, hostBell, enclaveBell] = bells as [number, number, number];
    this.#descriptors = bells;
    const boot: Boot = {
      channels: 1,
      measurement: image.measurement,
      strategy,
      exitNanoseconds: options.exitNanoseconds ?? 0,
      directories: inPlace ? directories : [],
      services: options.services,
    };
    this.#child = startProcess(boot, [memory, ...bells], inPlace ? grants.streams : []);
    closeDescriptor(memory);
    if (!inPlace) {
      this.#startWorker({
        buffer: this.#boundary.buffer,
        channel: 0,
        hostBell,
        enclaveBell,
        grants,
        directories,
        spins: strategy === 'exitless',
        services: options.services,
        stop: this.#stopWorkers,
      });
    }
    this.#launcher = new Launcher(this.#boundary, enclaveBell, outcomeBell);
    this.exited = this.#watchExit();
  }

  #putImage(image: Image): void {
    const encoded = encodeImage(image);
    if (encoded.length > IMAGE_BYTES_MAX) {
      throw new InvalidArgumentError(`an image of ${encoded.length} bytes is larger than ${IMAGE_BYTES_MAX}`);
    }
    new Uint8Array(this.#boundary.buffer).set(encoded, channelLayout(0).arena);
    Atomics.store(this.#words, CONTROL.imageBytes >> 2, encoded.length);
  }

  #startWorker(data: WorkerData): void {
    const worker = new Worker(new URL('./worker-main.js', import.meta.url), { workerData: data });
    worker.unref();
    worker.on('error', (cause) => {
      this.#fail(new EnclaveError('SGXIO_ENCLAVE_FAILED', 'a host worker died', { cause }));
    });
    this.#workers.push(worker);
  }

  async #ready(milliseconds: number): Promise<void> {
    const until = performance.now() + milliseconds;
    let ended = false;
    void this.exited.then(() => {
      ended = true;
    });
    for (;;) {
      const state = Atomics.load(this.#words, CONTROL.enclaveState >> 2);
      if (state === EnclaveState.ready) return;
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

  /** Why the enclave says it failed. Its text is copied, bounded, and only shown. */
  #failure(): EnclaveError {
    const length = Math.min(
      Math.max(0, Atomics.load(this.#words, CONTROL.failureBytes >> 2)),
      FAILURE_TEXT_MAX,
    );
    const text = new Uint8Array(length);
    text.set(new Uint8Array(this.#boundary.buffer, CONTROL.failureText, length));
    const [code, ...message] = new TextDecoder().decode(text).split('\n');
    const known = /^SGXIO_[A-Z_]{1,40}$/.test(code ?? '') ? (code as ErrorCode) : 'SGXIO_ENCLAVE_FAILED';
    return new EnclaveError(known, message.join(' ') || 'the enclave failed and did not say why');
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
    this.#fail(this.#reason(exit));
    await this.#endWorkers();
    for (const descriptor of this.#descriptors) closeDescriptor(descriptor);
    discardShared(this.#boundary);
    return exit;
  }

  async #endWorkers(): Promise<void> {
    Atomics.store(this.#stopWorkers, 0, 1);
    const ends = this.#workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
    for (const bell of this.#descriptors) signalEvent(bell);
    await Promise.all(ends);
  }

  /** The process of the enclave. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Queues a call of a function that the program exports, and returns at once. Arguments and result are plain
   * data; what the function throws arrives as a {@link LaunchError} with its code and message.
   */
  launch(name: string, ...values: unknown[]): Promise<unknown> {
    return this.#launcher.launch(name, values);
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

  /** Wakes the enclave thread however it sleeps. */
  #wake(): void {
    futexWake(this.#boundary.address + channelLayout(0).bell, 1);
    signalEvent(this.#descriptors[2] as number);
  }

  /** Ends the enclave at once. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * An enclave's process gets no environment, no input, and no descriptor but those that it is given. A program
 * whose calls are served in its own process has the streams that it was granted there.
 */
function startProcess(
  boot: Boot,
  descriptors: readonly number[],
  streams: readonly StreamName[],
): ChildProcess {
  const granted = (name: StreamName): 'inherit' | 'ignore' => (streams.includes(name) ? 'inherit' : 'ignore');
  const program = fileURLToPath(new URL(programs[boot.strategy], import.meta.url));
  return spawn(process.execPath, ['--no-warnings', program, JSON.stringify(boot)], {
    stdio: [granted('stdin'), granted('stdout'), 'inherit', ...descriptors],
    env: {},
    cwd: '/',
  });
}
