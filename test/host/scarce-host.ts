import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { Enclave } from '../../src/index.ts';
import { until } from '../support/conditions.ts';
import { buildProgram } from '../support/enclaves.ts';

/**
 * A host that has only so many descriptors left, from none to `most`, each time it creates an enclave: it goes on once
 * nothing of that is left behind, and prints at last how each creation ended. It is to be started under a limit.
 */
const [, , most] = process.argv;
const image = await buildProgram('test/host/lifecycle.program', { threads: 2 });
await (await Enclave.create(image)).stop();

const descriptors = (): number => readdirSync('/proc/self/fd').length;
const children = (): string => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8');
const others = children();

const outcomes: string[] = [];
for (let left = 0; left <= Number(most); left++) {
  const before = descriptors();
  outcomes.push(await createWith(left));
  // Node itself loses one when it cannot make the event loop of a thread.
  await until(() => descriptors() <= before + 1 && children() === others);
}
console.log(JSON.stringify(outcomes));

async function createWith(left: number): Promise<string> {
  const taken = takeAll();
  for (const descriptor of taken.splice(-left, left)) closeSync(descriptor);
  try {
    const enclave = await Enclave.create(image, { workers: 2 });
    await enclave.stop();
    return 'created';
  } catch (error) {
    return String((error as { code?: string }).code);
  } finally {
    for (const descriptor of taken) closeSync(descriptor);
  }
}

function takeAll(): number[] {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    return taken;
  }
}
