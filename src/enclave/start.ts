import process from 'node:process';
import { type Boot, BootDescriptor, bellsOf, storeDescriptor } from '../boundary/boot.ts';
import { encode } from '../boundary/encoder.ts';
import { exportsRoom } from '../boundary/launch.ts';
import { boundaryBytes, CONTROL, channelLayout, EnclaveState } from '../boundary/layout.ts';
import { EnclaveError, HostViolation, ImageError, SystemError } from '../errors.ts';
import { decodeImage, type Image } from '../image/image.ts';
import {
  EXPORTS_MAX,
  FILE_SECRET_BYTES,
  IMAGE_BYTES_MAX,
  LAUNCH_PAYLOAD_MAX,
  PINNED_BYTES_MAX,
  WASM_PAGE_BYTES,
} from '../limits.ts';
import {
  createSecretMemory,
  isSealed,
  mapDescriptor,
  mapShared,
  type SharedMapping,
} from '../linux/memory.ts';
import { dieWithParent } from '../linux/process.ts';
import { createBooks, setPrivateMemory } from './private-memory.ts';
import { createSlotMemories, setSlotMemories } from './protected/granted.ts';
import { keepFileSecret } from './protected/secret.ts';
import { createSharedStore, type SharedStore, setSharedStore } from './shared-store.ts';
import { declareDead, EnclaveThread, failEnclave, type ThreadEnvironment } from './thread.ts';
import { Threads } from './threads.ts';

const ENGINE_PROGRAM = new URL('./engine-main.js', import.meta.url);

export interface Environment extends ThreadEnvironment {
  /** What the threads beside the first run. */
  readonly threadProgram: URL;
  /** Gives up what an enclave may not have. Everything is mapped and started; the program is not yet evaluated. */
  lockDown(keep: readonly number[]): void;
}

/** Starts this process as the host asked: from the mapped boundary to a program that waits for launches. */
export async function start(boot: Boot, environment: Environment): Promise<void> {
  dieWithParent(boot.host);
  const boundary = mapShared(BootDescriptor.boundary, boundaryBytes(boot.channels, checkPinned(boot)));
  const fail = (error: unknown): never => failEnclave(boundary, environment, error);
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  try {
    await run(boot, environment, boundary, fail);
  } catch (error) {
    fail(error);
  }
}

async function run(
  boot: Boot,
  environment: Environment,
  boundary: SharedMapping,
  fail: (error: unknown) => never,
): Promise<void> {
  if (!isSealed(BootDescriptor.boundary, boundary.buffer.byteLength)) {
    throw new HostViolation('the boundary is not sealed, so that the host could take it away');
  }
  const image = readImage(boot, boundary);
  const { grants, input } = image.manifest;
  const code = new TextDecoder().decode(image.code);
  const memory = { ...createPrivateMemory(image.manifest.privateMemoryBytes), books: createBooks() };
  setPrivateMemory(memory);
  if (boot.hasFileSecret === true) receiveFileSecret(boundary);
  const store = mapStore(storeDescriptor(servedChannels(boot)), image.manifest.storeBytes);
  setSharedStore(store);
  const slotMemories = createSlotMemories(grants.files);
  setSlotMemories(slotMemories);
  const gate = new SharedArrayBuffer(4);
  const seeds = Array.from({ length: servedChannels(boot) - 1 }, (_, index) => ({
    program: index + 1 < boot.channels ? environment.threadProgram : ENGINE_PROGRAM,
    boot,
    thread: index + 1,
    boundary: boundary.buffer,
    code,
    grants,
    input,
    privateMemory: { address: memory.address, bytes: memory.buffer.byteLength, books: memory.books },
    store,
    slotMemories,
    gate,
  }));
  const threads = new Threads(seeds, gate, (thread) =>
    declareDead(boundary, channelLayout(thread), new Error('the thread ended without a word')),
  );
  await threads.loaded();
  const first = new EnclaveThread(boot, 0, boundary, grants, environment, fail);
  environment.lockDown(keptDescriptors(boot));
  const names = first.serve(code, input);
  await threads.serve();
  publishExports(boundary, names);
  setState(boundary, EnclaveState.ready);
}

/** The threads of the program, and the copy engine. */
function servedChannels({ channels, pinnedBytes }: Boot): number {
  return channels + (pinnedBytes > 0 ? 1 : 0);
}

function createPrivateMemory(bytes: number): ReturnType<typeof createSecretMemory> {
  try {
    return createSecretMemory(bytes);
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'EAGAIN') throw cause;
    throw new EnclaveError(
      'SGXIO_LOCKED_MEMORY_LIMIT',
      `${bytes} bytes of private memory are more than this user may still lock: raise the limit, 'ulimit -l ${Math.ceil(bytes / 1024)}' or more, or ask for less with privateMemoryBytes`,
      { cause },
    );
  }
}

/** Maps the whole store now: nothing can be mapped after lock-down. */
function mapStore(descriptor: number, bytes: number): SharedStore {
  if (bytes === 0) return createSharedStore({ address: 0, bytes });
  if (!isSealed(descriptor, bytes))
    throw new HostViolation(`the store is not ${bytes} bytes of sealed memory`);
  return createSharedStore({ address: mapDescriptor(descriptor, bytes, 0), bytes });
}

function checkPinned({ pinnedBytes }: Boot): number {
  if (pinnedBytes >= 0 && pinnedBytes <= PINNED_BYTES_MAX && pinnedBytes % WASM_PAGE_BYTES === 0)
    return pinnedBytes;
  throw new HostViolation(`${pinnedBytes} bytes of pinned memory`);
}

function keptDescriptors(boot: Boot): number[] {
  const bells = Array.from({ length: servedChannels(boot) }, (_, channel) => Object.values(bellsOf(channel)));
  return [BootDescriptor.outcomeBell, ...bells.flat()];
}

/** Copies the image in and measures the copy. */
function readImage(boot: Boot, boundary: SharedMapping): Image {
  const bytes = Atomics.load(new Int32Array(boundary.buffer), CONTROL.imageBytes >> 2);
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
  if (image.manifest.threads !== boot.channels) {
    throw new HostViolation(`the image asks for ${image.manifest.threads} threads, not ${boot.channels}`);
  }
  return image;
}

/** Takes the secret for protected mounts out of the boundary, where it lies behind the image. */
function receiveFileSecret(boundary: SharedMapping): void {
  const bytes = Atomics.load(new Int32Array(boundary.buffer), CONTROL.imageBytes >> 2);
  if (bytes <= 0 || bytes > IMAGE_BYTES_MAX) throw new HostViolation(`an image of ${bytes} bytes`);
  const room = new Uint8Array(boundary.buffer, channelLayout(0).arena + bytes, FILE_SECRET_BYTES);
  keepFileSecret(room);
  room.fill(0);
}

/** Tells the host what it can launch: a launch names a function by its place in this list. */
function publishExports(boundary: SharedMapping, names: readonly string[]): void {
  if (names.length > EXPORTS_MAX) {
    throw new EnclaveError(
      'SGXIO_ENCLAVE_FAILED',
      `the program exports ${names.length} names, more than ${EXPORTS_MAX}`,
    );
  }
  const encoded = encode(names, 'exports', LAUNCH_PAYLOAD_MAX);
  new Uint8Array(boundary.buffer).set(encoded, exportsRoom(channelLayout(0)));
  Atomics.store(new Int32Array(boundary.buffer), CONTROL.exportsBytes >> 2, encoded.length);
}

function setState(boundary: SharedMapping, state: number): void {
  Atomics.store(new Int32Array(boundary.buffer), CONTROL.enclaveState >> 2, state);
}
