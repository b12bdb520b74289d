import process from 'node:process';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

/**
 * A host that ends while it holds enclaves: `exit`, `throw` or `terminate` (of the thread that holds them), how many,
 * and when: so many milliseconds after it began to start them, or `ready`. By itself it ends with code 7.
 */
const CODE = 7;
const [, , way, count, when] = process.argv;

// The thread is then the only one that has the library for native calls.
if (way === 'terminate' && isMainThread) terminateThread();
else await hold();

function terminateThread(): void {
  const thread = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) });
  thread.once('message', async (pids: string) => {
    await thread.terminate();
    console.log(pids);
    process.exit(CODE);
  });
}

async function hold(): Promise<void> {
  const { Enclave } = await import('../../src/index.ts');
  const { buildProgram } = await import('../support/enclaves.ts');
  const image = await buildProgram('test/host/lifecycle.program');
  const starting = Array.from({ length: Number(count) }, () => Enclave.create(image));
  for (const enclave of starting) enclave.catch(() => {});
  if (when !== 'ready') return void setTimeout(end, Number(when), '');
  const enclaves = await Promise.all(starting);
  for (const enclave of enclaves) await enclave.launch('main');
  end(enclaves.map(({ pid }) => pid).join(' '));
}

function end(pids: string): void {
  if (way === 'terminate') return parentPort?.postMessage(pids);
  console.log(pids);
  if (way === 'throw') throw new Error('nobody catches it');
  process.exit(CODE);
}
