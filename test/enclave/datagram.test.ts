import assert from 'node:assert/strict';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Enclave } from '../../src/index.ts';
import type { Outcome, Step } from '../support/calls.program.ts';
import {
  buildProgram,
  STRATEGIES,
  startEnclave,
  type TestedStrategy,
  temporaryDirectory,
} from '../support/service-enclaves.ts';

interface Started {
  readonly enclave: Enclave;
  readonly path: string;
  run(steps: readonly Step[], asynchronous?: boolean): Promise<Outcome[]>;
}

async function start(t: TestContext, strategy: TestedStrategy): Promise<Started> {
  const path = join(temporaryDirectory(t), 'socket');
  const image = await buildProgram(import.meta.dirname, 'datagram.program.js', {
    grants: {
      listen: ['udp:127.0.0.1:*', 'udp:[::1]:*', `unix:${path}`],
      connect: ['udp:127.0.0.1:*', 'udp:[::1]:*', 'udp:255.255.255.255:*', `unix:${path}`],
    },
  });
  const enclave = await startEnclave(t, image, { strategy });
  const run = async (steps: readonly Step[], asynchronous = false): Promise<Outcome[]> =>
    (await enclave.launch('run', steps, asynchronous)) as Outcome[];
  return { enclave, path, run };
}

/** A socket of Node that sends everything back. */
async function echo(t: TestContext, type: dgram.SocketType, host: string): Promise<number> {
  const socket = dgram.createSocket(type);
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  socket.bind(0, host);
  await once(socket, 'listening');
  t.after(() => socket.close());
  return socket.address().port;
}

const FAMILIES = [
  { type: 'udp4', host: '127.0.0.1', family: 'IPv4' },
  { type: 'udp6', host: '::1', family: 'IPv6' },
] as const;

for (const strategy of STRATEGIES) {
  describe(`datagrams, ${strategy}`, () => {
    for (const { type, host, family } of FAMILIES) {
      test(`any datagram comes back from Node as it went, cut to the room for it, ${family}`, async (t) => {
        const { run } = await start(t, strategy);
        const port = await echo(t, type, host);
        await run([{ call: 'bindDatagram', values: [{ host, port: 0 }], as: 'd' }]);
        const datagram = fc.oneof(fc.uint8Array({ maxLength: 3000 }), fc.constant(new Uint8Array(60_000)));
        await fc.assert(
          fc.asyncProperty(datagram, fc.nat(3000), fc.boolean(), async (bytes, room, asynchronous) => {
            const [, outcome] = await run(
              [
                { on: 'd', call: 'sendTo', values: [bytes, { host, port }] },
                { on: 'd', call: 'receiveFrom', values: [room] },
              ],
              asynchronous,
            );
            assert.deepEqual(outcome?.value, {
              length: Math.min(bytes.length, room),
              fullLength: bytes.length,
              truncated: bytes.length > room,
              from: { family, address: host, port },
              bytes: bytes.slice(0, room),
            });
          }),
          { numRuns: 30 },
        );
      });
    }

    test('a connected socket sends without an address, and hears that nobody is there', async (t) => {
      const { run } = await start(t, strategy);
      const port = await echo(t, 'udp4', '127.0.0.1');
      const gone = dgram.createSocket('udp4').bind(0, '127.0.0.1');
      await once(gone, 'listening');
      const { port: nobody } = gone.address();
      gone.close();
      await once(gone, 'close');
      for (const asynchronous of [false, true]) {
        const outcomes = await run(
          [
            { call: 'openDatagram', values: ['IPv4'], as: 'd' },
            { on: 'd', call: 'connect', values: [{ host: '127.0.0.1', port }] },
            { on: 'd', call: 'send', values: [Uint8Array.of(1, 2)] },
            { on: 'd', call: 'receiveFrom', values: [10] },
            { on: 'd', call: 'peerAddress' },
            { on: 'd', call: 'connect', values: [{ host: '127.0.0.1', port: nobody }] },
            { on: 'd', call: 'send', values: [Uint8Array.of(1)] },
            { on: 'd', call: 'receiveFrom', values: [10] },
            { on: 'd', call: 'receiveFrom', values: [10, { timeout: 5 }] },
            { on: 'd', call: 'close' },
          ],
          asynchronous,
        );
        assert.deepEqual((outcomes[3]!.value as { bytes: unknown }).bytes, Uint8Array.of(1, 2));
        assert.deepEqual(outcomes[4]?.value, { family: 'IPv4', address: '127.0.0.1', port });
        assert.equal(outcomes[7]?.error?.['code'], 'ECONNREFUSED');
        assert.equal(outcomes[8]?.error?.['code'], 'ETIMEDOUT');
      }
    });

    test('datagrams go over a Unix socket, whose path goes with it', async (t) => {
      const { run, path } = await start(t, strategy);
      const outcomes = await run([
        { call: 'bindDatagram', values: [{ path }], as: 'd' },
        { call: 'openDatagram', values: ['unix'], as: 'e' },
        { on: 'e', call: 'sendTo', values: [Uint8Array.of(7), { path }] },
        { on: 'd', call: 'receiveFrom', values: [10] },
        { call: 'bindDatagram', values: [{ path }] },
      ]);
      assert.deepEqual((outcomes[3]!.value as { bytes: unknown; from: unknown }).bytes, Uint8Array.of(7));
      assert.deepEqual((outcomes[3]!.value as { from: unknown }).from, { family: 'unix', path: '' });
      assert.equal(outcomes[4]?.error?.['code'], 'EADDRINUSE');
      assert.equal(existsSync(path), true);
      await run([{ on: 'd', call: 'close' }]);
      assert.equal(existsSync(path), false);
    });

    test('what cannot be right is refused at the call', async (t) => {
      const { enclave } = await start(t, strategy);
      const port = await echo(t, 'udp4', '127.0.0.1');
      const codes = (await enclave.launch('misuse', port)) as Record<string, string>;
      for (const [name, code] of Object.entries(codes)) {
        if (name.startsWith('not granted')) assert.equal(code, 'SGXIO_NOT_GRANTED', name);
        else if (name === 'nowhere') assert.equal(code, 'EDESTADDRREQ');
        else if (name.startsWith('broadcast')) assert.equal(code, 'EACCES');
        else assert.equal(code, 'SGXIO_INVALID_ARGUMENT', name);
      }
    });

    test('a broadcast needs the option', async (t) => {
      const { run } = await start(t, strategy);
      const outcomes = await run([
        { call: 'openDatagram', values: ['IPv4'], as: 'd' },
        { on: 'd', call: 'setBroadcast' },
        { on: 'd', call: 'sendTo', values: [Uint8Array.of(1), { host: '255.255.255.255', port: 9 }] },
      ]);
      // A machine without a network has nowhere to broadcast to.
      assert.ok([undefined, 'ENETUNREACH'].includes(outcomes[2]?.error?.['code'] as undefined));
    });
  });
}
