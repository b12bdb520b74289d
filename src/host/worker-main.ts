import { workerData } from 'node:worker_threads';
import { addressOf } from '../linux/ffi.ts';
import { loadServices, type ServiceModule } from './custom-services.ts';
import { Journal } from './journal.ts';
import { TraceBuffer } from './trace-buffer.ts';
import { Worker, type WorkerOptions } from './worker.ts';

/** The thread of one host worker. */
export type WorkerData = Omit<WorkerOptions, 'boundary' | 'handlers' | 'journal'> & {
  readonly buffer: SharedArrayBuffer;
  readonly journal: SharedArrayBuffer;
  readonly services: ServiceModule | undefined;
  /** Where calls are traced, if they are. */
  readonly trace?: SharedArrayBuffer | undefined;
};

const { buffer, services, journal: books, trace, ...options } = workerData as WorkerData;
const boundary = { buffer, address: addressOf(new Uint8Array(buffer)) };
const handlers = await loadServices(services, new Int32Array(buffer));
const journal = new Journal(books);
if (trace !== undefined) journal.trace = new TraceBuffer(trace);
await new Worker({ ...options, boundary, handlers, journal }).run();
