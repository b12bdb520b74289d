/**
 * A function is run elsewhere and its outcome awaited: in an enclave, which is another process, and in a thread of
 * this one by each of the known pools. It adds two numbers.
 */
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { Piscina } from 'piscina';
import { Tinypool } from 'tinypool';
import workerpool from 'workerpool';
import {
  builtUrl,
  load,
  ownProcessor,
  processorWith,
  report,
  timed,
  timedAsync,
  versionOf,
} from './peers.mjs';

const { Enclave, buildImage } = await load('index.js');
const { processorNanoseconds } = await load('bench/processor-time.js');
const image = await buildImage(fileURLToPath(builtUrl('bench/launch-program.js')), {
  name: 'benchmark-launches',
});
const enclave = await Enclave.create(image);
const processor = processorWith(enclave, processorNanoseconds);

const file = (name) => fileURLToPath(new URL(`./workers/${name}.mjs`, import.meta.url));
const one = { minThreads: 1, maxThreads: 1 };
const piscina = new Piscina({ filename: file('add'), ...one });
const tinypool = new Tinypool({ filename: file('add'), ...one });
const pool = workerpool.pool(file('workerpool'), { maxWorkers: 1, workerType: 'thread' });
const linked = new Worker(file('comlink'));
const remote = comlink.wrap(nodeEndpoint(linked));
const echo = new Worker(file('echo'));

function peer(name, call, version = versionOf(name)) {
  return { name, version, side: 'peer', sample: timedAsync(call), processor: ownProcessor };
}

try {
  await report(
    [
      {
        name: 'sgxio, launch',
        version: versionOf(),
        side: 'own',
        sample: timedAsync(() => enclave.launch('add', 1, 2)),
        processor,
      },
      {
        name: 'sgxio, launchSync',
        version: versionOf(),
        side: 'own',
        sample: timed(() => enclave.launchSync('add', 1, 2)),
        processor,
      },
      peer(
        'postMessage',
        async () => {
          echo.postMessage({ left: 1, right: 2 });
          await once(echo, 'message');
        },
        process.versions.node,
      ),
      peer('comlink', () => remote.add(1, 2)),
      peer('workerpool', () => pool.exec('add', [1, 2])),
      peer('piscina', () => piscina.run({ left: 1, right: 2 })),
      peer('tinypool', () => tinypool.run({ left: 1, right: 2 })),
    ],
    { question: 'A function run elsewhere, one at a time', count: 500, warmUps: 3, rounds: 11 },
  );
} finally {
  await enclave.stop();
  await Promise.all([
    piscina.destroy(),
    tinypool.destroy(),
    pool.terminate(),
    linked.terminate(),
    echo.terminate(),
  ]);
}
