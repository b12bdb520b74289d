import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Enclave, Image } from '../../src/index.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import type * as program from './launches.program.ts';
import type { Lie } from './lying-clock.ts';

type Program = typeof program;

let image: Image;
before(async () => {
  image = await buildProgram('test/host/launches.program');
});

function attack(lie: Lie, run: (enclave: Enclave<Program>) => Promise<void>): void {
  test(`a host that ${lie}`, async () => {
    const services = { module: new URL('./lying-clock.js', import.meta.url).href, data: lie };
    await withEnclave<Program>(image, { services }, async (enclave) => {
      await Promise.all([enclave.launch('note', 'first'), enclave.launch('note', 'second')]);
      await run(enclave);
    });
  });
}

describe('gains nothing (C2 to C4): arguments are copied before they are looked at', () => {
  const small = 'small';
  const large = new Uint8Array(40_000).fill(3);
  attack('changes the arguments of all launches', async (enclave) => {
    for (const values of [small, large]) {
      const held = enclave.launch('wait', 'held', values);
      assert.deepEqual(await enclave.launch('callBetween', values), values);
      await enclave.launch('open', 'held');
      assert.deepEqual(await held, [values]);
    }
  });
});

describe('ends the enclave', () => {
  const VIOLATIONS = [
    'submits a launch that runs again',
    'submits a launch that is answered again',
    'launches what is not exported',
    'launches a negative function',
    'claims too long arguments',
    'claims arguments of a negative length',
    'names a priority that there is not',
    'names a kind that there is not',
    'names a launch of generation zero',
  ] as const;
  for (const lie of VIOLATIONS) {
    attack(lie, async (enclave) => {
      await assert.rejects(enclave.launch('callForEver'), { code: 'SGXIO_HOST_VIOLATION' });
      assert.deepEqual(await enclave.exited, { code: 1, signal: null });
    });
  }
});

describe('is not heeded', () => {
  attack('gives up launches that there are not', async (enclave) => {
    const held = enclave.launch('wait', 'held');
    await enclave.launch('callAndOpen', 'held');
    assert.deepEqual(await held, []);
  });

  attack('sends arguments that are no encoding', async (enclave) => {
    // The answer to a launch that this host did not make is what its own check refuses.
    await assert.rejects(enclave.launch('callForEver'), (error: Error & { code: string }) => {
      assert.equal(error.code, 'SGXIO_ENCLAVE_FAILED');
      assert.match(String(error.cause), /is not in flight/);
      return true;
    });
  });
});
