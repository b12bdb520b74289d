import process from 'node:process';
import { type Boot, BootDescriptor, bellsOf } from '../boundary/boot.ts';
import { parseGrants } from '../boundary/grants.ts';
import { boundaryBytes, CONTROL, channelLayout, EnclaveState } from '../boundary/layout.ts';
import { PollingLoop } from '../boundary/polling-loop.ts';
import type { Port } from '../boundary/port.ts';
import { WaitPolicy } from '../boundary/waiting.ts';
import { EnclaveError, HostViolation, ImageError } from '../errors.ts';
import { decodeImage, type Image } from '../image/image.ts';
import { FAILURE_TEXT_MAX, IMAGE_BYTES_MAX } from '../limits.ts';
import { drainEvent } from '../linux/events.ts';
import { createSecretMemory, mapShared, type SharedMapping } from '../linux/memory.ts';
import { watchDescriptor } from '../linux/watch.ts';
import { Calls } from './calls.ts';
import { installConsole } from './console.ts';
import { LaunchServer } from './launches.ts';
import { setPrivateMemory } from './private-memory.ts';
import { loadProgram } from './program.ts';
import { setRuntime } from './runtime.ts';

/** What differs between an enclave and a program that runs the same way without one. */
export interface Environment {
  /** Makes the port over which the first thread's calls go. */
  connect(boundary: SharedMapping, calls: Calls, image: Image): Port;
  /** Gives up what an enclave may not have. Everything is mapped; the program is not yet evaluated. */
  lockDown(keep: readonly number[]): void;
  /** Ends the process. */
  leave(code: number): never;
  /** The module that the program imports as `sgxio/enclave`. */
  readonly services: unknown;
}

/** Starts this process as the host asked: from the mapped boundary to a program that waits for launches. */
export function start(boot: Boot, environment: Environment): void {
  const boundary = mapShared(BootDescriptor.boundary, boundaryBytes(boot.channels));
  const words = new Int32Array(boundary.buffer);
  const fail = (error: unknown): never => {
    reportFailure(boundary, error);
    return environment.leave(1);
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  try {
    run(boot, environment, boundary, words, fail);
  } catch (error) {
    fail(error);
  }
}

function run(
  boot: Boot,
  environment: Environment,
  boundary: SharedMapping,
  words: Int32Array<SharedArrayBuffer>,
  fail: (error: unknown) => never,
): void {
  const image = readImage(boot, boundary, words);
  setPrivateMemory(createSecretMemory(image.manifest.privateMemoryBytes));
  const calls = new Calls(new WaitPolicy(boot.strategy !== 'exit'));
  const port = environment.connect(boundary, calls, image);
  calls.connect(port);
  const stopRequested = (): boolean => Atomics.load(words, CONTROL.stopRequested >> 2) !== 0;
  calls.checkStop = () => {
    if (stopRequested())
      throw new EnclaveError('SGXIO_ENCLAVE_STOPPED', 'the host asked the enclave to stop');
  };
  const exports = new Map<string, (...values: never[]) => unknown>();
  const launches = new LaunchServer(boundary, BootDescriptor.outcomeBell, exports);
  const policy = new WaitPolicy(boot.strategy !== 'exit');
  const leave = (): never => {
    Atomics.store(words, CONTROL.enclaveState >> 2, EnclaveState.leaving);
    return environment.leave(0);
  };
  const { enclaveBell } = bellsOf(0);
  const loop = new PollingLoop({
    poll: () => {
      if (stopRequested()) leave();
      return port.poll() + launches.poll();
    },
    awaits: () => true,
    park: () => launches.park() || port.parkOnBell(),
    unpark: () => {
      launches.unpark();
      port.unpark();
      drainEvent(enclaveBell);
    },
    spinMicroseconds: () => policy.spinMicroseconds,
    record: (microseconds) => policy.record(microseconds),
    fail,
  });
  calls.onWaiter = () => loop.wake();
  for (const bell of new Set([enclaveBell, port.bell])) watchDescriptor(bell, () => loop.wake());
  setRuntime({ calls, loop, grants: parseGrants(image.manifest.grants), words });
  environment.lockDown([BootDescriptor.outcomeBell, ...Object.values(bellsOf(0))]);
  installConsole();
  for (const [name, value] of Object.entries(load(image, environment.services))) {
    if (typeof value === 'function') exports.set(name, value as (...values: never[]) => unknown);
  }
  Atomics.store(words, CONTROL.enclaveState >> 2, EnclaveState.ready);
  loop.wake();
}

/** Copies the image in and measures the copy. */
function readImage(boot: Boot, boundary: SharedMapping, words: Int32Array<SharedArrayBuffer>): Image {
  const bytes = Atomics.load(words, CONTROL.imageBytes >> 2);
  if (bytes <= 0 || bytes > IMAGE_BYTES_MAX) throw new HostViolation(`an image of ${bytes} bytes`);
  const copy = new Uint8Array(bytes);
  copy.set(new Uint8Array(boundary.buffer, channelLayout(0).arena, bytes));
  const image = decodeImage(copy);
  if (image.measurement !== boot.measurement) {
    throw new ImageError(
      'SGXIO_IMAGE_TAMPERED',
      `the image measures ${image.measurement}, not ${boot.measurement}`,
    );
  }
  return image;
}

function load(image: Image, services: unknown): object {
  return loadProgram(new TextDecoder().decode(image.code), new Map([['sgxio/enclave', services]]));
}

/** Tells the host why: a code and a message, cut to what has room. */
function reportFailure(boundary: SharedMapping, error: unknown): void {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  const text = new TextEncoder()
    .encode(`${String(code ?? '')}\n${String(message ?? error)}`)
    .subarray(0, FAILURE_TEXT_MAX);
  new Uint8Array(boundary.buffer).set(text, CONTROL.failureText);
  const words = new Int32Array(boundary.buffer);
  Atomics.store(words, CONTROL.failureBytes >> 2, text.length);
  Atomics.store(words, CONTROL.enclaveState >> 2, EnclaveState.failed);
}
