import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildImage, Enclave } from '../../src/index.ts';
import type * as program from './program.ts';

/** Serves a directory from an enclave until it is interrupted. */
const MOUNT = '/www';
const TIMEOUT_MILLISECONDS = 30_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { host: { type: 'string', default: '127.0.0.1' }, port: { type: 'string', default: '8080' } },
});
const [directory = '.'] = positionals;

const image = await buildImage(fileURLToPath(new URL('./program.js', import.meta.url)), {
  name: 'http',
  grants: {
    listen: [`tcp:${values.host}:${values.port}`],
    files: [{ mount: MOUNT, access: 'read' }],
  },
});
await using enclave = await Enclave.create<typeof program>(image, { directories: { [MOUNT]: directory } });
const port = await enclave.launch('open', values.host, Number(values.port));
console.log(`serving ${directory} at http://${values.host}:${port}/; end it with Ctrl-C`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void enclave.stop());
await enclave
  .launch('serve', { mount: MOUNT, timeout: TIMEOUT_MILLISECONDS })
  .catch((error: { code?: string }) => {
    if (error.code !== 'SGXIO_ENCLAVE_STOPPED') throw error;
  });
