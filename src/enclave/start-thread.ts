import process from 'node:process';
import { parentPort, workerData } from 'node:worker_threads';
import { channelLayout } from '../boundary/layout.ts';
import { HostViolation } from '../errors.ts';
import { addressOf, viewOf } from '../linux/ffi.ts';
import { setPrivateMemory } from './private-memory.ts';
import { declareDead, EnclaveThread, failEnclave, type ThreadEnvironment } from './thread.ts';
import { ThreadMessage, type ThreadSeed } from './threads.ts';

/** Runs this thread of the enclave: everything is loaded, then the process is locked down, then the program runs. */
export function startThread(environment: ThreadEnvironment): void {
  const {
    boot,
    thread,
    boundary: buffer,
    code,
    grants,
    input,
    privateMemory,
    gate,
  } = workerData as ThreadSeed;
  const boundary = { buffer, address: addressOf(new Uint8Array(buffer)) };
  /** What the program does not catch ends this thread; a host that lies ends the enclave. */
  const fail = (error: unknown): void => {
    if (error instanceof HostViolation) {
      failEnclave(boundary, environment, error);
    }
    declareDead(boundary, channelLayout(thread), error);
    process.exit(1);
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  try {
    const { address, bytes, books } = privateMemory;
    setPrivateMemory({ address, buffer: viewOf(address, bytes), books });
    const enclaveThread = new EnclaveThread(boot, thread, boundary, grants, environment, fail);
    parentPort?.postMessage(ThreadMessage.loaded);
    Atomics.wait(new Int32Array(gate), 0, 0);
    enclaveThread.serve(code, input);
    parentPort?.postMessage(ThreadMessage.serving);
  } catch (error) {
    fail(error);
  }
}
