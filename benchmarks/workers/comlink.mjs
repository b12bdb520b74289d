import { parentPort } from 'node:worker_threads';
import * as comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';

comlink.expose({ add: (left, right) => left + right }, nodeEndpoint(parentPort));
