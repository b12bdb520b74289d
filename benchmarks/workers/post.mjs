/** Sends every message back and raises a flag that the sender waits for. */
import { workerData } from 'node:worker_threads';

const { flag, port } = workerData;
port.on('message', (message) => {
  port.postMessage(message);
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
});
