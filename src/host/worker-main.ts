import process from 'node:process';
import { parentPort, workerData } from 'node:worker_threads';
import { addressOf } from '../linux/ffi.ts';
import { loadServices, type ServiceModule } from './custom-services.ts';
import { WORKER_ENDED, Worker, type WorkerOptions } from './worker.ts';

/** The thread of one host worker. */
export interface WorkerData extends WorkerOptions {
  /** The boundary. */
  readonly buffer: SharedArrayBuffer;
  readonly services: ServiceModule | undefined;
}

const { buffer, services, ...options } = workerData as WorkerData;
const boundary = { buffer, address: addressOf(new Uint8Array(buffer)) };
const handlers = await loadServices(services, new Int32Array(buffer));
await new Worker(options, boundary, handlers, (message) => parentPort?.postMessage(message)).run();
process.exit(WORKER_ENDED);
