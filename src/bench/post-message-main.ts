import { parentPort } from 'node:worker_threads';

/** A thread that sends every message back. */
parentPort?.on('message', (message) => parentPort?.postMessage(message));
