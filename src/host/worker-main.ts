import { workerData } from 'node:worker_threads';
import { addressOf } from '../linux/ffi.ts';
import { loadServices, type ServiceModule } from './custom-services.ts';
import { Journal } from './journal.ts';
import { Worker, type WorkerOptions } from './worker.ts';

/** The thread of one host worker. */
export type WorkerData = Omit<WorkerOptions, 'boundary' | 'handlers' | 'journal'> & {
  readonly buffer: SharedArrayBuffer;
  readonly journal: SharedArrayBuffer;
  readonly services: ServiceModule | undefined;
};

const { buffer, services, journal, ...options } = workerData as WorkerData;
const boundary = { buffer, address: addressOf(new Uint8Array(buffer)) };
const handlers = await loadServices(services, new Int32Array(buffer));
await new Worker({ ...options, boundary, handlers, journal: new Journal(journal) }).run();
