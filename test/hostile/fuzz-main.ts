/**
 * Goes on lying for long, and says how often: `node dist/test/hostile/fuzz-main.js --inputs 10000000 --live 1000`.
 * An input is one thing that a host or a program does to a channel. A failure prints its script, which belongs
 * into fuzz.test.ts from then on.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { fuzzCalls } from './fuzz-calls.ts';
import { fuzzLive } from './fuzz-live.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    live: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
  },
});
const RUNS = 1000;
const script = fc.array(fc.integer(), { minLength: 1, maxLength: 400, size: 'max' });
const began = performance.now();
const seconds = (): string => ((performance.now() - began) / 1000).toFixed(1);

let inputs = 0;
let scripts = 0;
for (let seed = Number(values.seed); inputs < Number(values.inputs); seed++) {
  const property = fc.property(script, (input) => {
    inputs += fuzzCalls(input);
    scripts++;
  });
  fc.assert(property, { numRuns: RUNS, seed });
  // What was scheduled meanwhile runs, and is collected.
  await new Promise((resolve) => setImmediate(resolve));
}
console.log(`in one process: ${inputs} inputs in ${scripts} scripts, no promise broken, ${seconds()} s`);

let live = 0;
let enclaves = 0;
for (let seed = Number(values.seed); live < Number(values.live); seed++) {
  const property = fc.asyncProperty(
    fc.array(fc.integer(), { minLength: 300, maxLength: 300 }),
    async (input) => {
      live += await fuzzLive(input);
      enclaves++;
    },
  );
  await fc.assert(property, { numRuns: 5, seed, endOnFailure: true });
}
if (live > 0) console.log(`live: ${live} answers to ${enclaves} enclaves, no promise broken, ${seconds()} s`);
