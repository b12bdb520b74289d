import assert from 'node:assert/strict';
import * as dns from 'node:dns/promises';
import { once } from 'node:events';
import * as net from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import type { Outcome, Step } from '../support/calls.program.ts';
import { buildProgram, STRATEGIES, startEnclave, type TestedStrategy } from '../support/service-enclaves.ts';

type Run = (steps: readonly Step[], asynchronous?: boolean) => Promise<Outcome[]>;

async function start(t: TestContext, strategy: TestedStrategy, names: boolean): Promise<Run> {
  const image = await buildProgram(import.meta.dirname, 'names.program.js', {
    grants: { names, connect: ['tcp:localhost:*'] },
  });
  const enclave = await startEnclave(t, image, { strategy });
  return async (steps, asynchronous = false) =>
    (await enclave.launch('run', steps, asynchronous)) as Outcome[];
}

/** What Node's resolver says, in the form of an outcome. */
async function nodeOutcome(host: string, family: 0 | 4 | 6): Promise<unknown> {
  try {
    return { value: await dns.lookup(host, { all: true, family }) };
  } catch (error) {
    const { code, errno, syscall } = error as NodeJS.ErrnoException;
    return { error: { name: 'SystemError', code, errno, syscall, path: undefined } };
  }
}

for (const strategy of STRATEGIES) {
  describe(`names, ${strategy}`, () => {
    test('a look-up answers what that of Node does', async (t) => {
      const run = await start(t, strategy, true);
      for (const asynchronous of [false, true]) {
        for (const host of ['localhost', '127.0.0.1', '::1', 'name.invalid', 'LOCALHOST']) {
          for (const family of [0, 4, 6] as const) {
            const [outcome] = await run(
              [{ on: 'names', call: 'lookup', values: [host, { family }] }],
              asynchronous,
            );
            assert.deepEqual(outcome, await nodeOutcome(host, family), `${host}, ${family}`);
          }
        }
      }
    });

    test('a granted name is connected to, and what it stands for only by that name', async (t) => {
      const run = await start(t, strategy, true);
      const server = net.createServer((socket) => socket.end('hello'));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => server.close());
      const { port } = server.address() as net.AddressInfo;
      for (const asynchronous of [false, true]) {
        const outcomes = await run(
          [
            { call: 'connect', values: [{ host: 'localhost', port }], as: 'c' },
            { on: 'c', call: 'receive', values: [10] },
            { call: 'connect', values: [{ host: '127.0.0.1', port }] },
            { call: 'connect', values: [{ host: 'other.example', port }] },
          ],
          asynchronous,
        );
        assert.equal(Buffer.from(outcomes[1]!.value as Uint8Array).toString(), 'hello');
        assert.equal(outcomes[2]!.error?.['code'], 'SGXIO_NOT_GRANTED');
        assert.equal(outcomes[3]!.error?.['code'], 'SGXIO_NOT_GRANTED');
      }
    });

    test('without the grant, and for what is no name, nothing is asked', async (t) => {
      const refused = await start(t, strategy, false);
      const run = await start(t, strategy, true);
      const codeOf = ([outcome]: Outcome[]): unknown => outcome?.error?.['code'];
      const asking = (host: unknown, options?: object): Step[] => [
        { on: 'names', call: 'lookup', values: [host, options] },
      ];
      for (const asynchronous of [false, true]) {
        assert.equal(codeOf(await refused(asking('localhost'), asynchronous)), 'SGXIO_NOT_GRANTED');
        for (const host of ['', 'a b', 'local\0host', 'x'.repeat(300), 7, '1.2.3']) {
          assert.equal(codeOf(await run(asking(host), asynchronous)), 'SGXIO_INVALID_ARGUMENT');
        }
        assert.equal(
          codeOf(await run(asking('localhost', { family: 5 }), asynchronous)),
          'SGXIO_INVALID_ARGUMENT',
        );
      }
    });
  });
}
