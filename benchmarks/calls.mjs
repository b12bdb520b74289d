/**
 * A thread needs something from another and waits for it: what does asking cost, when nothing is done? sgxio asks
 * from within an enclave, which is another process; all others ask another thread of their own process.
 */

import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { createSyncFn } from 'synckit';
import { builtUrl, load, ownProcessor, processorWith, report, timed, versionOf } from './peers.mjs';

const COUNT = 1000;
const NANOSECONDS_A_MILLISECOND = 1e6;

const { Enclave, buildImage } = await load('index.js');
const { processorNanoseconds } = await load('bench/processor-time.js');
const image = await buildImage(fileURLToPath(builtUrl('bench/call-program.js')), { name: 'benchmark-calls' });
const enclaves = [];

async function enclosed(name, strategy, side = 'own') {
  const enclave = await Enclave.create(image, { strategy });
  enclaves.push(enclave);
  return {
    name,
    version: versionOf(),
    side,
    sample: async (count) =>
      Float64Array.from(
        await enclave.launch('synchronous', count),
        (milliseconds) => milliseconds * NANOSECONDS_A_MILLISECOND,
      ),
    processor: processorWith(enclave, processorNanoseconds),
  };
}

const node = process.versions.node;
const word = new Int32Array(new SharedArrayBuffer(8));
const waiter = new Worker(new URL('./workers/wait.mjs', import.meta.url), { workerData: word });
let asked = 0;
function waitForWord() {
  asked = (asked + 1) | 0;
  Atomics.store(word, 0, asked);
  Atomics.notify(word, 0);
  while (Atomics.load(word, 1) !== asked) Atomics.wait(word, 1, (asked - 1) | 0);
}

const flag = new Int32Array(new SharedArrayBuffer(4));
const { port1, port2 } = new MessageChannel();
const poster = new Worker(new URL('./workers/post.mjs', import.meta.url), {
  workerData: { flag, port: port2 },
  transferList: [port2],
});
function postAndWait() {
  Atomics.store(flag, 0, 0);
  port1.postMessage(0);
  Atomics.wait(flag, 0, 0);
  receiveMessageOnPort(port1);
}

const synckit = createSyncFn(new URL('./workers/synckit.mjs', import.meta.url));
function nothing() {}

function one(name, version, call, side = 'peer') {
  return { name, version, side, sample: timed(call), processor: ownProcessor };
}

try {
  await report(
    [
      await enclosed('sgxio, exitless', 'exitless'),
      await enclosed('sgxio, exit', 'exit'),
      await enclosed('sgxio, in place (direct)', 'direct', 'floor'),
      one('a function in place, timed', node, nothing, 'floor'),
      one('Atomics.wait and notify', node, waitForWord),
      one('postMessage and Atomics.wait', node, postAndWait),
      one('synckit', versionOf('synckit'), () => synckit(0)),
    ],
    { question: 'A synchronous call that does nothing', count: COUNT, warmUps: 3, rounds: 11 },
  );
} finally {
  for (const enclave of enclaves) await enclave.stop();
  await Promise.all([waiter.terminate(), poster.terminate()]);
  // The worker of synckit has no end of its own.
  process.exit();
}
