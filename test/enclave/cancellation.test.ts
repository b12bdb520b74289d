import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Enclave, EnclaveOptions, Image } from '../../src/index.ts';
import { until } from '../support/conditions.ts';
import { ioUringRefusal } from '../support/io-uring.ts';
import { buildProgram, startEnclave, temporaryDirectory } from '../support/service-enclaves.ts';
import type { Attempt, Stage, Way } from './cancellation.program.ts';

const image: Image = await buildProgram(import.meta.dirname, 'cancellation.program.js', {
  grants: {
    listen: ['tcp:127.0.0.1:*'],
    connect: ['tcp:127.0.0.1:*'],
    files: [{ mount: '/data', access: 'read-write' }],
  },
});

/** What a call that is ended so comes to; where two are named, it depends on who was first. */
const OUTCOMES: Readonly<Record<Stage, Readonly<Record<Way, RegExp>>>> = {
  before: { signal: /^SGXIO_ABORTED$/, deadline: /^ETIMEDOUT$/, close: /^SGXIO_CLOSED$/ },
  queued: { signal: /^SGXIO_ABORTED$/, deadline: /^ETIMEDOUT$/, close: /^ECANCELED$/ },
  taken: { signal: /^SGXIO_ABORTED$/, deadline: /^ETIMEDOUT$/, close: /^ECANCELED$/ },
  waiting: { signal: /^SGXIO_ABORTED$/, deadline: /^ETIMEDOUT$/, close: /^ECANCELED$/ },
  answered: { signal: /^SGXIO_ABORTED$/, deadline: /^3$/, close: /^3$/ },
};

/** The sockets of this process, and what it holds open below a directory. */
function openDescriptors(directory: string): number {
  return readdirSync('/proc/self/fd').filter((name) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      return target.startsWith('socket:') || target.startsWith(directory);
    } catch {
      return false;
    }
  }).length;
}

/** Nothing is in flight, no block of the arena is taken, and no descriptor is left. */
async function nothingLeft(enclave: Enclave, directory: string, descriptors: number): Promise<void> {
  const { stats } = enclave;
  const counts = () => stats.call(enclave);
  await until(() => counts().host.inFlight === 0 && counts().enclave.inFlight === 0);
  await until(() => counts().enclave.arenaBlocks === 0);
  await until(() => openDescriptors(directory) === descriptors);
}

async function start(t: TestContext, data: string, options: EnclaveOptions): Promise<[Enclave, number]> {
  const enclave = await startEnclave(t, image, { directories: { '/data': data }, ...options });
  await enclave.launch('storm', [{ call: 'ping', way: 'none', turns: 0 }]);
  return [enclave, openDescriptors(data)];
}

for (const what of ['socket', 'file'] as const) {
  test(`a call is ended at every stage of its life, and leaves nothing: ${what}`, async (t) => {
    const data = temporaryDirectory(t);
    const pipe = join(data, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const module = new URL('stalling-services.js', import.meta.url).href;
    const [enclave, descriptors] = await start(t, data, { services: { module, data: pipe } });
    for (const [stage, ways] of Object.entries(OUTCOMES)) {
      for (const [way, outcome] of Object.entries(ways)) {
        const code = (await enclave.launch('cancel', what, stage, way)) as string;
        assert.match(code, outcome, `${stage}, ${way}`);
        await nothingLeft(enclave, data, descriptors);
      }
    }
  });
}

test('a connection that was accepted for a call given up meanwhile is closed', async (t) => {
  const data = temporaryDirectory(t);
  writeFileSync(join(data, 'file'), '');
  const [enclave, descriptors] = await start(t, data, {});
  assert.deepEqual(await enclave.launch('abortAnsweredAccept'), ['SGXIO_ABORTED', '0']);
  await nothingLeft(enclave, data, descriptors);
});

const attempt: fc.Arbitrary<Attempt> = fc.record({
  call: fc.constantFrom(
    'receive',
    'accept',
    'connect',
    'send',
    'read',
    'write',
    'open',
    'stat',
    'mkdir',
    'ping',
  ),
  way: fc.constantFrom('signal', 'deadline', 'close', 'none'),
  turns: fc.integer({ min: -1, max: 12 }),
});

for (const engine of ['direct', 'uring'] as const) {
  describe(`engine ${engine}`, { skip: engine === 'uring' && ioUringRefusal() }, () => {
    test('whatever is given up, whenever, comes to its end and leaves nothing', async (t) => {
      const data = temporaryDirectory(t);
      writeFileSync(join(data, 'file'), new Uint8Array(1_000_000));
      const [enclave, descriptors] = await start(t, data, { engine });
      await fc.assert(
        fc.asyncProperty(
          fc.array(attempt, { minLength: 1, maxLength: 40, size: 'max' }),
          async (attempts) => {
            assert.deepEqual(await enclave.launch('storm', attempts), []);
            await nothingLeft(enclave, data, descriptors);
          },
        ),
        { numRuns: 25 },
      );
    });
  });
}
