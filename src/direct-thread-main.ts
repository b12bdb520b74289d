import { workerData } from 'node:worker_threads';
import { createDirectEnvironment } from './direct-environment.ts';
import { startThread } from './enclave/start-thread.ts';
import type { ThreadSeed } from './enclave/threads.ts';

/** A thread beside the first of a program that runs without an enclave. */
startThread(await createDirectEnvironment((workerData as ThreadSeed).boot));
