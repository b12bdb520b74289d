import process from 'node:process';
import type { Strategy } from '../../src/boundary/boot.ts';
import type { StreamName } from '../../src/boundary/grants.ts';
import { Enclave } from '../../src/index.ts';
import { buildProgram } from '../support/service-enclaves.ts';

/**
 * A host whose streams its enclave uses: launches what its arguments say, and tells the result through its channel.
 * DEATHS in its environment says when its workers die.
 */
const [strategy, streams, name, ...values] = process.argv.slice(2) as [Strategy, string, string, ...string[]];
const image = await buildProgram(import.meta.dirname, 'streams.program.js', {
  grants: { streams: streams.split(',').filter((stream) => stream !== '') as StreamName[] },
});
const deaths = process.env['DEATHS'];
const services = {
  module: new URL('../host/dying-services.js', import.meta.url).href,
  data: JSON.parse(deaths ?? '{}') as unknown,
};
const enclave = await Enclave.create(image, {
  strategy,
  startTimeout: 60_000,
  ...(deaths === undefined ? {} : { services }),
});
const result = await enclave.launch(name, ...values.map((value) => JSON.parse(value) as unknown));
await enclave.stop();
process.send!(result ?? null);
process.disconnect();
