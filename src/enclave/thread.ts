import { type Boot, BootDescriptor, bellsOf } from '../boundary/boot.ts';
import { COUNTERS, Count } from '../boundary/counters.ts';
import { parseGrants, type WrittenGrants } from '../boundary/grants.ts';
import { type ChannelLayout, CONTROL, channelLayout, EnclaveState, ThreadState } from '../boundary/layout.ts';
import { PollingLoop } from '../boundary/polling-loop.ts';
import type { Port } from '../boundary/port.ts';
import { WaitPolicy } from '../boundary/waiting.ts';
import { EnclaveError } from '../errors.ts';
import { FAILURE_TEXT_MAX } from '../limits.ts';
import { drainEvent, signalEvent } from '../linux/events.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { watchDescriptor } from '../linux/watch.ts';
import { balloon } from './balloon.ts';
import { Calls } from './calls.ts';
import { installConsole } from './console.ts';
import { LaunchRejection } from './launchable.ts';
import { type Launchable, LaunchServer } from './launches.ts';
import { loadProgram } from './program.ts';
import { setRuntime } from './runtime.ts';

/** What differs between an enclave and a program that runs the same way without one. */
export interface ThreadEnvironment {
  /** Makes the port over which this thread's calls go. */
  connect(boundary: SharedMapping, calls: Calls, grants: WrittenGrants, thread: number): Port;
  /** Ends the process. */
  leave(code: number): never;
  /** The module that the program imports as `sgxio/enclave`. */
  readonly services: unknown;
}

/** One thread of an enclave: its channel, its calls, and the launches that it serves. */
export class EnclaveThread {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #layout: ChannelLayout;
  readonly #environment: ThreadEnvironment;
  readonly #launches: LaunchServer;
  readonly #loop: PollingLoop;

  constructor(
    boot: Boot,
    thread: number,
    boundary: SharedMapping,
    grants: WrittenGrants,
    environment: ThreadEnvironment,
    fail: (error: unknown) => void,
  ) {
    const words = new Int32Array(boundary.buffer);
    this.#words = words;
    this.#layout = channelLayout(thread);
    this.#environment = environment;
    const calls = new Calls(new WaitPolicy(boot.strategy !== 'exit'));
    const port = environment.connect(boundary, calls, grants, thread);
    calls.connect(port);
    // A host that lies to one thread lies to all: it is the enclave that ends, not the thread.
    calls.onViolation = (violation) => failEnclave(boundary, environment, violation);
    calls.checkStop = () => {
      if (this.#stopRequested())
        throw new EnclaveError('SGXIO_ENCLAVE_STOPPED', 'the host asked the enclave to stop');
    };
    const shown = new Float64Array(boundary.buffer, this.#layout.counters, COUNTERS);
    calls.report = () => {
      calls.counters.cells[Count.arenaBlocks] = port.blocksInUse;
      shown.set(calls.counters.cells);
    };
    this.#launches = new LaunchServer(boundary, this.#layout, BootDescriptor.outcomeBell);
    this.#loop = this.#createLoop(boot, thread, port, () => calls.report(), fail);
    calls.onWaiter = () => this.#loop.wake();
    for (const bell of new Set([bellsOf(thread).enclaveBell, port.bell])) {
      watchDescriptor(bell, () => this.#loop.wake());
    }
    setRuntime({
      calls,
      loop: this.#loop,
      grants: parseGrants(grants),
      words,
      boundaryAddress: boundary.address,
      thread: { index: thread, count: boot.channels },
    });
  }

  #createLoop(
    boot: Boot,
    thread: number,
    port: Port,
    report: () => void,
    fail: (error: unknown) => void,
  ): PollingLoop {
    const policy = new WaitPolicy(boot.strategy !== 'exit');
    const launches = this.#launches;
    const { enclaveBell } = bellsOf(thread);
    return new PollingLoop({
      poll: () => {
        if (this.#stopRequested()) this.leave();
        return port.poll() + launches.poll();
      },
      awaits: () => true,
      park: () => {
        report();
        return launches.park() || port.parkOnBell();
      },
      unpark: () => {
        launches.unpark();
        port.unpark();
        drainEvent(enclaveBell);
      },
      rest: () => port.yield(),
      spinMicroseconds: () => policy.spinMicroseconds,
      record: (microseconds) => policy.record(microseconds),
      fail,
    });
  }

  #stopRequested(): boolean {
    return Atomics.load(this.#words, CONTROL.stopRequested >> 2) !== 0;
  }

  leave(): never {
    Atomics.store(this.#words, CONTROL.enclaveState >> 2, EnclaveState.leaving);
    return this.#environment.leave(0);
  }

  /** Evaluates the program and serves what it exports; the names, in the order in which launches count them. */
  serve(code: string, input: Readonly<Record<string, string>>): string[] {
    installConsole();
    const modules = new Map([['sgxio/enclave', this.#environment.services]]);
    installConsole();
    const exported = loadProgram(code, modules, input);
    const names = Object.keys(exported);
    this.#launches.serve(
      names.map((name) => asLaunchable(name, exported[name])),
      { balloon },
    );
    Atomics.store(this.#words, this.#layout.threadState >> 2, ThreadState.serving);
    this.#loop.wake();
    return names;
  }
}

function asLaunchable(name: string, value: unknown): Launchable {
  if (typeof value === 'function') return value as Launchable;
  return () => {
    throw new LaunchRejection(`the program's '${name}' is no function`);
  };
}

/** Writes down that a thread is dead, once; the first reason counts. */
export function declareDead(boundary: SharedMapping, layout: ChannelLayout, error: unknown): void {
  const words = new Int32Array(boundary.buffer);
  if (Atomics.load(words, layout.threadState >> 2) === ThreadState.dead) return;
  writeFailure(boundary, layout.failureText, layout.failureBytes, error);
  Atomics.store(words, layout.threadState >> 2, ThreadState.dead);
  signalEvent(BootDescriptor.outcomeBell);
}

/** Ends the enclave, and leaves the reason for the host. */
export function failEnclave(
  boundary: SharedMapping,
  environment: Pick<ThreadEnvironment, 'leave'>,
  error: unknown,
): never {
  writeFailure(boundary, CONTROL.failureText, CONTROL.failureBytes, error);
  Atomics.store(new Int32Array(boundary.buffer), CONTROL.enclaveState >> 2, EnclaveState.failed);
  return environment.leave(1);
}

/** Leaves a code and a message for the host, cut to what has room. */
function writeFailure(boundary: SharedMapping, text: number, bytes: number, error: unknown): void {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  const encoded = new TextEncoder()
    .encode(`${String(code ?? '')}\n${String(message ?? error)}`)
    .subarray(0, FAILURE_TEXT_MAX);
  new Uint8Array(boundary.buffer).set(encoded, text);
  Atomics.store(new Int32Array(boundary.buffer), bytes >> 2, encoded.length);
}
