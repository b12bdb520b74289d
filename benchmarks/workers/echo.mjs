import { parentPort } from 'node:worker_threads';

parentPort.on('message', ({ left, right }) => parentPort.postMessage(left + right));
