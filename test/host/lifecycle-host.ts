import { Enclave } from '../../src/index.ts';
import { buildProgram } from '../support/enclaves.ts';

/** A host that starts an enclave, says which process it is, and goes on until it is killed. */
const image = await buildProgram('test/host/lifecycle.program');
const enclave = await Enclave.create(image);
console.log(`${enclave.pid} ${await enclave.launch('main')}`);
setInterval(() => {}, 1000);
