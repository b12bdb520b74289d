import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buildImage, Enclave } from '../../src/index.ts';

/** Calls, launches and connections of one enclave; the test runs this where all of it has one core. */
const image = await buildImage(join(import.meta.dirname, 'echo-program.js'), {
  name: 'alone',
  grants: { listen: ['tcp:127.0.0.1:*'] },
});
await using enclave = await Enclave.create(image);
await enclave.launch('pings', 5000);
const failed = await enclave.launch('pingsAsync', 2000, 20);
const port = (await enclave.launch('serve')) as number;
let echoed = 0;
for (const socket of Array.from({ length: 10 }, () => connect(port, '127.0.0.1'))) {
  for (let message = 0; message < 20; message++) {
    socket.write('x');
    await once(socket, 'data');
    echoed++;
  }
  socket.destroy();
}
console.log(JSON.stringify({ failed, echoed }));
