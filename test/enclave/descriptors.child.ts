import process from 'node:process';
import type { Strategy } from '../../src/boundary/boot.ts';
import { Enclave } from '../../src/index.ts';
import { buildProgram } from '../support/service-enclaves.ts';

/** A host with few descriptors, whose enclave uses them up. */
const [strategy, directory] = process.argv.slice(2) as [Strategy, string];
const image = await buildProgram(import.meta.dirname, 'files.program.js', {
  grants: { files: [{ mount: '/data', access: 'read' }] },
});
const enclave = await Enclave.create(image, {
  strategy,
  directories: { '/data': directory },
  startTimeout: 60_000,
});
console.log(JSON.stringify(await enclave.launch('exhaustDescriptors', '/data/file')));
await enclave.stop();
