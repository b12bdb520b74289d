import process from 'node:process';
import { parseArgs } from 'node:util';
import { leaksIn, soak } from './soak.ts';

/** `npm run soak -- --minutes 60`: a line for each cycle, and the leaks, if there are any. */
const { values } = parseArgs({ options: { minutes: { type: 'string', default: '60' } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error('soak: --minutes takes a number above 0');
  process.exit(2);
}
const rests = await soak(minutes * 60_000, (rest) => console.log(JSON.stringify(rest)));
const leaks = leaksIn(rests);
for (const leak of leaks) console.error(`soak: ${leak}`);
process.exitCode = leaks.length === 0 ? 0 : 1;
