import process from 'node:process';
import type { Strategy } from '../../src/boundary/boot.ts';
import { Enclave } from '../../src/index.ts';
import { buildProgram } from '../support/service-enclaves.ts';
import { openSockets } from '../support/sockets.ts';

/** A host with few descriptors, whose enclave uses them up: with the files of a directory, or with sockets. */
const [strategy, what] = process.argv.slice(2) as [Strategy, string];
const startTimeout = 60_000;
if (what === 'sockets') {
  const image = await buildProgram(import.meta.dirname, 'net.program.js', {
    grants: { listen: ['tcp:127.0.0.1:*'], connect: ['tcp:127.0.0.1:*'] },
  });
  await using enclave = await Enclave.create(image, { strategy, startTimeout });
  const before = openSockets(enclave.pid!);
  const outcome = (await enclave.launch('exhaustDescriptors')) as object;
  console.log(JSON.stringify({ ...outcome, left: openSockets(enclave.pid!) - before }));
} else {
  const image = await buildProgram(import.meta.dirname, 'files.program.js', {
    grants: { files: [{ mount: '/data', access: 'read' }] },
  });
  await using enclave = await Enclave.create(image, {
    strategy,
    directories: { '/data': what },
    startTimeout,
  });
  console.log(JSON.stringify(await enclave.launch('exhaustDescriptors', '/data/file')));
}
