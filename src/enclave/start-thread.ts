import process from 'node:process';
import { parentPort, workerData } from 'node:worker_threads';
import { channelLayout } from '../boundary/layout.ts';
import { HostViolation } from '../errors.ts';
import { addressOf, viewOf } from '../linux/ffi.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { setPrivateMemory } from './private-memory.ts';
import { setSlotMemories } from './protected/granted.ts';
import { setSharedStore } from './shared-store.ts';
import { declareDead, EnclaveThread, failEnclave, type ThreadEnvironment } from './thread.ts';
import { ThreadMessage, type ThreadSeed } from './threads.ts';

/** Runs this thread of the enclave: everything is loaded, then the process is locked down, then the program runs. */
export function startThread(environment: ThreadEnvironment): void {
  runThread(environment.leave, (seed, boundary, fail) => {
    const thread = new EnclaveThread(seed.boot, seed.thread, boundary, seed.grants, environment, fail);
    return () => thread.serve(seed.code, seed.input);
  });
}

/** Runs what `prepare` makes ready before lock-down and returns to be begun after it. */
export function runThread(
  leave: (code: number) => never,
  prepare: (seed: ThreadSeed, boundary: SharedMapping, fail: (error: unknown) => void) => () => void,
): void {
  const seed = workerData as ThreadSeed;
  const { thread, boundary: buffer, privateMemory, gate } = seed;
  const boundary = { buffer, address: addressOf(new Uint8Array(buffer)) };
  /** What nobody catches ends this thread; a host that lies ends the enclave. */
  const fail = (error: unknown): void => {
    if (error instanceof HostViolation) failEnclave(boundary, { leave }, error);
    declareDead(boundary, channelLayout(thread), error);
    process.exit(1);
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  try {
    const { address, bytes, books } = privateMemory;
    setPrivateMemory({ address, buffer: viewOf(address, bytes), books });
    setSharedStore(seed.store);
    setSlotMemories(seed.slotMemories);
    const begin = prepare(seed, boundary, fail);
    parentPort?.postMessage(ThreadMessage.loaded);
    Atomics.wait(new Int32Array(gate), 0, 0);
    begin();
    parentPort?.postMessage(ThreadMessage.serving);
  } catch (error) {
    fail(error);
  }
}
