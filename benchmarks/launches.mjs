/**
 * A function is run elsewhere and its outcome awaited, one at a time and a thousand at once: in an enclave, which is
 * another process, and in a thread of this one by each of the known pools. It adds two numbers.
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

const MANY = 1000;
const NANOSECONDS_A_MILLISECOND = 1e6;

/** So many at once, and the time of one of them. */
function many(call) {
  return async (count) => {
    const nanoseconds = new Float64Array(count);
    for (let index = 0; index < count; index++) {
      const began = performance.now();
      await Promise.all(Array.from({ length: MANY }, call));
      nanoseconds[index] = ((performance.now() - began) * NANOSECONDS_A_MILLISECOND) / MANY;
    }
    return nanoseconds;
  };
}

/** The same alternative with so many at once; processor time is that of one. */
function asMany({ call, ...alternative }) {
  return {
    ...alternative,
    sample: many(call),
    processor: async () => (await alternative.processor()) / MANY,
  };
}

function peer(name, call, version = versionOf(name)) {
  return { name, version, side: 'peer', call, sample: timedAsync(call), processor: ownProcessor };
}

const launch = () => enclave.launch('add', 1, 2);
const own = { version: versionOf(), side: 'own', processor };
const launched = { ...own, name: 'sgxio, launch', call: launch, sample: timedAsync(launch) };
const spun = { ...own, name: 'sgxio, launchSync', sample: timed(() => enclave.launchSync('add', 1, 2)) };
const posted = peer(
  'postMessage',
  async () => {
    echo.postMessage({ left: 1, right: 2 });
    await once(echo, 'message');
  },
  process.versions.node,
);
const pools = [
  peer('comlink', () => remote.add(1, 2)),
  peer('workerpool', () => pool.exec('add', [1, 2])),
  peer('piscina', () => piscina.run({ left: 1, right: 2 })),
  peer('tinypool', () => tinypool.run({ left: 1, right: 2 })),
];

try {
  await report([launched, spun, posted, ...pools], {
    question: 'A function run elsewhere, one at a time',
    count: 500,
    warmUps: 3,
    rounds: 11,
  });
  await report([launched, ...pools].map(asMany), {
    question: 'Tiny jobs, a thousand at once',
    count: 5,
    warmUps: 2,
    rounds: 9,
  });
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
