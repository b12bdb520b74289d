import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildImage, Enclave } from '../../src/index.ts';
import type * as program from './program.ts';

/** Runs the echo server in an enclave until it is interrupted. */
const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '7007' },
    tasks: { type: 'boolean', default: false },
  },
});

const image = await buildImage(fileURLToPath(new URL('./program.js', import.meta.url)), {
  name: 'echo',
  grants: { listen: [`tcp:${values.host}:${values.port}`] },
});
await using enclave = await Enclave.create<typeof program>(image);
const port = await enclave.launch('open', values.host, Number(values.port));
console.log(`echoing at ${values.host}:${port}; end it with Ctrl-C`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void enclave.stop());
await enclave.launch(values.tasks ? 'serveTasks' : 'serve').catch((error: { code?: string }) => {
  if (error.code !== 'SGXIO_ENCLAVE_STOPPED') throw error;
});
