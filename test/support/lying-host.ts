import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Boot, Strategy } from '../../src/boundary/boot.ts';
import { decode } from '../../src/boundary/decoder.ts';
import { parseGrants } from '../../src/boundary/grants.ts';
import { exportsRoom } from '../../src/boundary/launch.ts';
import {
  boundaryBytes,
  type ChannelLayout,
  CONTROL,
  channelLayout,
  EnclaveState,
} from '../../src/boundary/layout.ts';
import { CompletionWriter, Request, SubmissionReader } from '../../src/boundary/ring.ts';
import { EnclaveError } from '../../src/errors.ts';
import { LaunchChannel } from '../../src/host/launch-channel.ts';
import { Launcher } from '../../src/host/launcher.ts';
import { encodeImage, type Image } from '../../src/image/image.ts';
import { FAILURE_TEXT_MAX, LAUNCH_PAYLOAD_MAX, RING_ENTRIES } from '../../src/limits.ts';
import { closeDescriptor, createEvent, futexWake, signalEvent } from '../../src/linux/events.ts';
import { addressOf, check, viewOf } from '../../src/linux/ffi.ts';
import {
  createSealedMemory,
  discardShared,
  mapDescriptor,
  mapShared,
  type SharedMapping,
  unmap,
} from '../../src/linux/memory.ts';
import { copyOf, type HostSide, type Script } from './host-side.ts';
import { LoneWorker } from './lone-worker.ts';

/** How an enclave's process ended, and what it left on the control page. */
export interface Ending {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Of {@link EnclaveState}. */
  readonly state: number;
  /** The code and the message of its failure; empty when it reported none. */
  readonly code: string;
  readonly message: string;
}

export interface LyingHostOptions {
  readonly strategy?: Strategy;
  /** Gives the memory of the boundary: sealed and of the right size unless told. */
  readonly memory?: (bytes: number) => number;
  /** Gives the memory of the store, likewise. */
  readonly storeMemory?: (bytes: number) => number;
  /** What else the process is told of its start. */
  readonly boot?: Partial<Boot>;
  /** Spoils the boundary when everything is in place, before the process starts. */
  readonly spoil?: (host: LyingHost) => void;
  /** Serves the calls with a real host worker instead of from the test. */
  readonly honest?: boolean;
  /** Returns as soon as the process runs instead of when its program is ready. */
  readonly early?: boolean;
}

const START_MILLISECONDS = 60_000;
const ENCLAVE = fileURLToPath(new URL('../../src/enclave/main.js', import.meta.url));

/**
 * A host that does what a test tells it to a real enclave: a process with a boundary, descriptors and an image,
 * whose submissions the test reads and answers itself.
 */
export class LyingHost implements HostSide, AsyncDisposable {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly layout: ChannelLayout = channelLayout(0);
  readonly boundary: SharedMapping;
  readonly outcomeBell: number;
  readonly hostBell: number;
  readonly enclaveBell: number;
  /** The store of the enclave, as its host sees it; empty unless the image asks for one. */
  readonly store: Uint8Array = new Uint8Array(0);
  readonly ended: Promise<Ending>;
  readonly #image: Image;
  readonly #child: ChildProcess;
  readonly #reader: SubmissionReader;
  readonly #writer: CompletionWriter;
  /** Answers that found the ring full. */
  readonly #waiting: [number, number, number, number][] = [];
  #launcher: Launcher | undefined;
  #worker: LoneWorker | undefined;
  #script: Script<LyingHost> | undefined;
  #over = false;

  static async start(image: Image, options: LyingHostOptions = {}): Promise<LyingHost> {
    const host = new LyingHost(image, options);
    if (options.early === true) return host;
    const until = performance.now() + START_MILLISECONDS;
    while (host.state === EnclaveState.starting && !host.#over && performance.now() < until) {
      await setImmediate();
    }
    if (host.state === EnclaveState.starting) host.kill();
    return host;
  }

  private constructor(image: Image, options: LyingHostOptions) {
    const bytes = boundaryBytes(1);
    const memory = (options.memory ?? ((size) => createSealedMemory('lies', size)))(bytes);
    this.boundary = mapShared(memory, bytes);
    this.words = new Int32Array(this.boundary.buffer);
    this.bytes = new Uint8Array(this.boundary.buffer);
    this.#image = image;
    const encoded = encodeImage(image);
    this.bytes.set(encoded, this.layout.arena);
    Atomics.store(this.words, CONTROL.imageBytes >> 2, encoded.length);
    this.outcomeBell = check(createEvent(), 'eventfd');
    this.hostBell = check(createEvent(), 'eventfd');
    this.enclaveBell = check(createEvent(), 'eventfd');
    const { submissionRing, submissionsTaken, completionRing, completionsTaken } = this.layout;
    const { words } = this;
    this.#reader = new SubmissionReader({
      words,
      entries: submissionRing,
      size: RING_ENTRIES,
      taken: submissionsTaken,
    });
    this.#writer = new CompletionWriter({
      words,
      entries: completionRing,
      size: RING_ENTRIES,
      taken: completionsTaken,
    });
    options.spoil?.(this);
    const boot: Boot = {
      channels: 1,
      pinnedBytes: 0,
      measurement: image.measurement,
      strategy: options.strategy ?? 'exitless',
      host: process.pid,
      exitNanoseconds: 0,
      directories: [],
      services: undefined,
      ...options.boot,
    };
    const bells = [this.outcomeBell, this.hostBell, this.enclaveBell];
    const { storeBytes } = image.manifest;
    const createStore = options.storeMemory ?? ((size) => createSealedMemory('lies-store', size));
    const store = storeBytes === 0 ? [] : [createStore(storeBytes)];
    if (store[0] !== undefined) {
      this.store = new Uint8Array(viewOf(mapDescriptor(store[0], storeBytes, 0), storeBytes));
    }
    this.#child = spawn(process.execPath, ['--no-warnings', ENCLAVE, JSON.stringify(boot)], {
      stdio: ['ignore', 'ignore', 'ignore', memory, ...bells, ...store],
      env: {},
      cwd: '/',
    });
    for (const descriptor of store) closeDescriptor(descriptor);
    this.ended = this.#watchEnd(memory);
    if (options.honest === true) this.startWorker();
    else void this.#serve();
  }

  async #watchEnd(memory: number): Promise<Ending> {
    const [exitCode, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
      this.#child.once('exit', (code, killed) => resolve([code, killed]));
    });
    this.#over = true;
    const ending = { exitCode, signal, state: this.state, ...this.#failure() };
    this.#launcher?.fail(
      new EnclaveError('SGXIO_ENCLAVE_STOPPED', `${ending.code || 'no failure'}: ${ending.message}`),
    );
    closeDescriptor(memory);
    return ending;
  }

  #failure(): { code: string; message: string } {
    const length = Math.min(Atomics.load(this.words, CONTROL.failureBytes >> 2), FAILURE_TEXT_MAX);
    const text = new Uint8Array(Math.max(length, 0));
    text.set(this.bytes.subarray(CONTROL.failureText, CONTROL.failureText + text.length));
    const [code = '', ...message] = new TextDecoder().decode(text).split('\n');
    return { code, message: message.join('\n') };
  }

  get state(): number {
    return Atomics.load(this.words, CONTROL.enclaveState >> 2);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Reads submissions for as long as the enclave lives, and tells the script of each. */
  async #serve(): Promise<void> {
    const request = new Request();
    while (!this.#over) {
      while (this.#script !== undefined && this.#reader.read(request)) {
        this.#reader.acknowledge();
        this.#script(copyOf(request), this);
      }
      this.#flush();
      await setImmediate();
    }
  }

  /** Says what to do with submissions from now on; until then none is taken. */
  serve(script: Script<LyingHost> | undefined): void {
    this.#script = script;
  }

  answer(id: number, result: number, extra0 = 0, extra1 = 0): void {
    if (this.#waiting.length > 0 || !this.#writer.hasRoom()) this.#waiting.push([id, result, extra0, extra1]);
    else this.answerBlindly(id, result, extra0, extra1);
  }

  /** The same, where what the enclave says of its reading was spoiled: entries that were not read are overwritten. */
  answerBlindly(id: number, result: number, extra0 = 0, extra1 = 0): void {
    this.#writer.write(id, result, extra0, extra1);
    this.wake();
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#writer.hasRoom()) {
      this.answerBlindly(...(this.#waiting.shift() as [number, number, number, number]));
    }
  }

  /** Wakes the enclave thread in every way that there is, whether it sleeps or not. */
  wake(): void {
    Atomics.add(this.words, this.layout.bell >> 2, 1);
    futexWake(this.boundary.address + this.layout.bell, 1);
    signalEvent(this.enclaveBell);
  }

  payload(request: Request): Uint8Array<SharedArrayBuffer> {
    const start = this.layout.arena + request.payload;
    return this.bytes.subarray(start, start + request.length);
  }

  /** Launches as an honest host does. */
  launch(name: string, ...values: unknown[]): Promise<unknown> {
    this.#launcher ??= this.#createLauncher();
    return this.#launcher.launch(name, values);
  }

  #createLauncher(): Launcher {
    const launcher = new Launcher(
      this.boundary.buffer,
      [new LaunchChannel(this.boundary, this.layout, this.enclaveBell)],
      1,
      this.outcomeBell,
      () => new EnclaveError('SGXIO_ENCLAVE_FAILED', 'the thread died'),
    );
    const length = Atomics.load(this.words, CONTROL.exportsBytes >> 2);
    const start = exportsRoom(this.layout);
    launcher.setFunctions(
      decode(
        this.bytes.slice(start, start + length) as unknown as Uint8Array<ArrayBuffer>,
        'exports',
        LAUNCH_PAYLOAD_MAX,
      ) as string[],
    );
    return launcher;
  }

  /** A real worker in place of the test; it goes on where the last one ended. */
  startWorker(): void {
    const grants = parseGrants(this.#image.manifest.grants);
    this.#worker = new LoneWorker(this.boundary.buffer, this.hostBell, this.enclaveBell, grants);
  }

  /** Ends the worker in the middle of whatever it does. */
  async terminateWorker(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  requestStop(): void {
    Atomics.store(this.words, CONTROL.stopRequested >> 2, 1);
    this.wake();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.ended;
    await this.#worker?.end();
    for (const bell of [this.outcomeBell, this.hostBell, this.enclaveBell]) closeDescriptor(bell);
    discardShared(this.boundary);
    if (this.store.length > 0) unmap(addressOf(this.store), this.store.length);
  }
}
