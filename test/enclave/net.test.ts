import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import type { Enclave } from '../../src/index.ts';
import { closeDescriptor } from '../../src/linux/events.ts';
import {
  AF_INET,
  bindSocket,
  createSocket,
  listenSocket,
  localAddress,
  SOCK_STREAM,
  SocketAddressBuffer,
} from '../../src/linux/sockets.ts';
import type { Outcome, Step } from '../support/calls.program.ts';
import {
  buildProgram,
  STRATEGIES,
  startEnclave,
  type TestedStrategy,
  temporaryDirectory,
} from '../support/service-enclaves.ts';

const ABSTRACT = `\0sgxio-test-${process.pid}`;

interface Started {
  readonly enclave: Enclave;
  readonly path: string;
  run(steps: readonly Step[], asynchronous?: boolean): Promise<Outcome[]>;
}

async function start(t: TestContext, strategy: TestedStrategy): Promise<Started> {
  const path = join(temporaryDirectory(t), 'socket');
  const unix = [`unix:${path}`, `unix:@${ABSTRACT.slice(1)}`];
  const image = await buildProgram(import.meta.dirname, 'net.program.js', {
    grants: {
      listen: ['tcp:127.0.0.1:*', 'tcp:[::1]:*', 'tcp:[::]:*', ...unix],
      connect: ['tcp:127.0.0.1:*', 'tcp:[::1]:*', ...unix],
    },
  });
  const enclave = await startEnclave(t, image, { strategy });
  const run = async (steps: readonly Step[], asynchronous = false): Promise<Outcome[]> =>
    (await enclave.launch('run', steps, asynchronous)) as Outcome[];
  return { enclave, path, run };
}

/** A server of Node that lives as long as the test. */
async function serve(
  t: TestContext,
  where: net.ListenOptions,
  onConnection: (socket: net.Socket) => void,
): Promise<number> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    onConnection(socket);
  });
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(where);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function echo(socket: net.Socket): void {
  socket.pipe(socket);
}

/** All that a client of Node gets back. */
async function exchangeAsNode(where: net.NetConnectOpts, parts: readonly Uint8Array[]): Promise<Buffer> {
  const socket = net.connect(where);
  const received: Buffer[] = [];
  socket.on('data', (data) => received.push(data));
  for (const part of parts) socket.write(part);
  socket.end();
  await once(socket, 'end');
  return Buffer.concat(received);
}

const parts = fc.array(fc.uint8Array({ maxLength: 4000 }), { maxLength: 8 });

for (const strategy of STRATEGIES) {
  describe(`sockets, ${strategy}`, () => {
    test('any bytes come back from a server in the enclave, over every family', async (t) => {
      const { enclave, path } = await start(t, strategy);
      for (const endpoint of [{ host: '127.0.0.1', port: 0 }, { host: '::1', port: 0 }, { path }]) {
        const address = await enclave.launch('startEcho', 'echo', endpoint);
        const where = 'path' in endpoint ? { path } : (address as net.AddressInfo);
        const node = 'path' in where ? where : { host: where.address, port: where.port };
        await fc.assert(
          fc.asyncProperty(parts, async (chosen) => {
            assert.deepEqual(await exchangeAsNode(node, chosen), Buffer.concat(chosen));
          }),
          { numRuns: 10 },
        );
        await enclave.launch('stopEcho', 'echo');
      }
      assert.equal(existsSync(path), false);
    });

    test('names of the abstract namespace, which Node does not know', async (t) => {
      const { enclave } = await start(t, strategy);
      assert.deepEqual(await enclave.launch('startEcho', 'echo', { path: ABSTRACT }), {
        family: 'unix',
        path: ABSTRACT,
      });
      const sent = Buffer.alloc(5000, 'abc');
      const received = (await enclave.launch('exchange', { path: ABSTRACT }, [sent], true)) as Uint8Array;
      assert.deepEqual(Buffer.from(received), sent);
    });

    test('any bytes come back to a client in the enclave, over every family', async (t) => {
      const { enclave, path } = await start(t, strategy);
      const wheres: net.ListenOptions[] = [
        { host: '127.0.0.1', port: 0 },
        { host: '::1', port: 0 },
        { path },
      ];
      for (const where of wheres) {
        const port = await serve(t, where, echo);
        const endpoint = where.path === undefined ? { host: where.host, port } : { path: where.path };
        await fc.assert(
          fc.asyncProperty(parts, fc.boolean(), async (chosen, asynchronous) => {
            const received = await enclave.launch('exchange', endpoint, chosen, asynchronous);
            assert.deepEqual(Buffer.from(received as Uint8Array), Buffer.concat(chosen));
          }),
          { numRuns: 10 },
        );
      }
    });

    test('each half of a connection ends by itself', async (t) => {
      const { run } = await start(t, strategy);
      const events: string[] = [];
      const port = await serve(t, { host: '127.0.0.1', port: 0 }, (socket) => {
        socket.on('data', (data) => events.push(`data ${data}`));
        socket.on('end', () => {
          events.push('end');
          socket.end('farewell');
        });
      });
      for (const asynchronous of [false, true]) {
        events.length = 0;
        const outcomes = await run(
          [
            { call: 'connect', values: [{ host: '127.0.0.1', port }], as: 'c' },
            { on: 'c', call: 'send', values: [Buffer.from('hello')] },
            { on: 'c', call: 'shutdown', values: ['sending'] },
            { on: 'c', call: 'send', values: [Buffer.from('more')] },
            { on: 'c', call: 'receive', values: [100] },
            { on: 'c', call: 'receive', values: [100] },
            { on: 'c', call: 'close' },
            { call: 'connect', values: [{ host: '127.0.0.1', port }], as: 'c' },
            { on: 'c', call: 'shutdown', values: ['receiving'] },
            { on: 'c', call: 'receive', values: [100] },
            { on: 'c', call: 'send', values: [Buffer.from('still')] },
            { on: 'c', call: 'shutdown', values: ['both'] },
            { on: 'c', call: 'close' },
          ],
          asynchronous,
        );
        assert.equal(outcomes[3]?.error?.['code'], 'EPIPE');
        assert.equal(Buffer.from(outcomes[4]!.value as Uint8Array).toString(), 'farewell');
        assert.deepEqual(outcomes[5]?.value, new Uint8Array(0));
        assert.deepEqual(outcomes[9]?.value, new Uint8Array(0));
        assert.equal(outcomes.filter(({ error }) => error !== undefined).length, 1);
        while (events.length < 4) await new Promise((resolve) => setImmediate(resolve));
        assert.deepEqual(events, ['data hello', 'end', 'data still', 'end']);
      }
    });

    test('a reset is an error on the other side, and closing in order is not', async (t) => {
      const { run } = await start(t, strategy);
      const ends: Promise<string>[] = [];
      const port = await serve(t, { host: '127.0.0.1', port: 0 }, (socket) => {
        socket.resume();
        ends.push(
          new Promise((resolve) => {
            socket.on('close', (failed) => resolve(failed ? 'reset' : 'in order'));
          }),
        );
        socket.on('end', () => socket.end());
        if (ends.length === 1) socket.once('data', () => socket.resetAndDestroy());
      });
      const connect: Step = { call: 'connect', values: [{ host: '127.0.0.1', port }], as: 'c' };
      const [, , reset] = await run([
        connect,
        { on: 'c', call: 'send', values: [Uint8Array.of(1)] },
        { on: 'c', call: 'receive', values: [1] },
      ]);
      assert.deepEqual(
        [reset?.error?.['code'], reset?.error?.['syscall'], reset?.error?.['name']],
        ['ECONNRESET', 'recv', 'SystemError'],
      );
      await run([connect, { on: 'c', call: 'setResetOnClose' }, { on: 'c', call: 'close' }]);
      await run([connect, { on: 'c', call: 'close' }]);
      while (ends.length < 3) await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual((await Promise.all(ends)).slice(1), ['reset', 'in order']);
    });

    test('late calls fail with ETIMEDOUT', async (t) => {
      const { run } = await start(t, strategy);
      const silent = await serve(t, { host: '127.0.0.1', port: 0 }, () => {});
      const full = fullListener(t);
      for (const asynchronous of [false, true]) {
        const outcomes = await run(
          [
            { call: 'listen', values: [{ host: '127.0.0.1', port: 0 }], as: 'l' },
            { on: 'l', call: 'accept', values: [{ timeout: 5 }] },
            { on: 'l', call: 'accept', values: [{ timeout: -1 }] },
            { call: 'connect', values: [{ host: '127.0.0.1', port: silent }], as: 'c' },
            { on: 'c', call: 'receive', values: [1, { timeout: 5 }] },
            { on: 'c', call: 'receive', values: [1, { timeout: 0 }] },
            { call: 'connect', values: [{ host: '127.0.0.1', port: full }, { timeout: 20 }] },
            { call: 'connect', values: [{ host: '127.0.0.1', port: full }, { timeout: 20 }] },
            { call: 'connect', values: [{ host: '127.0.0.1', port: full }, { timeout: 20 }] },
            { on: 'c', call: 'close' },
            { on: 'l', call: 'close' },
          ],
          asynchronous,
        );
        for (const index of [1, 2, 4, 5, 8])
          assert.equal(outcomes[index]?.error?.['code'], 'ETIMEDOUT', `${index}`);
      }
    });

    test('a peer that takes nothing fills up its own connection alone', async (t) => {
      const { enclave } = await start(t, strategy);
      const stuck = await serve(t, { host: '127.0.0.1', port: 0 }, (socket) => socket.pause());
      const lively = await serve(t, { host: '127.0.0.1', port: 0 }, echo);
      const [there, other] = [stuck, lively].map((port) => ({ host: '127.0.0.1', port }));
      assert.deepEqual(await enclave.launch('fillUp', there, other, 50), ['ETIMEDOUT', 3]);
    });

    test('a call is aborted at every stage, and what came after it is received', async (t) => {
      const { enclave } = await start(t, strategy);
      const port = await serve(t, { host: '127.0.0.1', port: 0 }, echo);
      assert.deepEqual(await enclave.launch('abortStages', { host: '127.0.0.1', port }), {
        before: 'SGXIO_ABORTED',
        'just started': 'SGXIO_ABORTED',
        waiting: 'SGXIO_ABORTED',
        'after the answer': '3',
      });
    });

    test('what cannot be right is refused at the call', async (t) => {
      const { enclave } = await start(t, strategy);
      const port = await serve(t, { host: '127.0.0.1', port: 0 }, echo);
      const codes = (await enclave.launch('misuse', port)) as Record<string, string>;
      for (const [name, code] of Object.entries(codes)) {
        const expected = name.startsWith('closed')
          ? 'SGXIO_CLOSED'
          : /^(another|a listener|path with NUL)/.test(name)
            ? 'SGXIO_NOT_GRANTED'
            : 'SGXIO_INVALID_ARGUMENT';
        assert.equal(code, expected, name);
      }
    });

    test('options, addresses and calls on nothing', async (t) => {
      const { run } = await start(t, strategy);
      const port = await serve(t, { host: '127.0.0.1', port: 0 }, echo);
      const free = await run([
        { call: 'listen', values: [{ host: '127.0.0.1', port: 0 }, { reusePort: true }], as: 'l' },
        { on: 'l', call: 'localAddress' },
      ]);
      const shared = (free[1]!.value as net.AddressInfo).port;
      for (const asynchronous of [false, true]) {
        const outcomes = await run(
          [
            { call: 'connect', values: [{ host: '127.0.0.1', port }], as: 'c' },
            { on: 'c', call: 'setNoDelay' },
            { on: 'c', call: 'setKeepAlive', values: [true, { delay: 60, interval: 10, probes: 3 }] },
            { on: 'c', call: 'setReceiveBufferSize', values: [65_536] },
            { on: 'c', call: 'setSendBufferSize', values: [65_536] },
            { on: 'c', call: 'send', values: [new Uint8Array(0)] },
            { on: 'c', call: 'receive', values: [0] },
            { on: 'c', call: 'peerAddress' },
            { call: 'listen', values: [{ host: '127.0.0.1', port: shared }, { reusePort: true }], as: 'm' },
            { on: 'm', call: 'close' },
            { on: 'c', call: 'close' },
            { call: 'listen', values: [{ host: '127.0.0.1', port: shared }] },
          ],
          asynchronous,
        );
        assert.deepEqual(
          outcomes.slice(0, -1).filter(({ error }) => error !== undefined),
          [],
        );
        assert.deepEqual(outcomes[6]?.value, new Uint8Array(0));
        assert.deepEqual(outcomes[7]?.value, { family: 'IPv4', address: '127.0.0.1', port });
        assert.equal(outcomes.at(-1)?.error?.['code'], 'EADDRINUSE');
      }
    });

    test('an IPv6 listener takes IPv4 unless told not to', async (t) => {
      const { run } = await start(t, strategy);
      for (const ipv6Only of [false, true]) {
        const outcomes = await run([
          { call: 'listen', values: [{ host: '::', port: 0 }, { ipv6Only }], as: 'l' },
          { on: 'l', call: 'localAddress' },
        ]);
        const { port } = outcomes[1]!.value as net.AddressInfo;
        const [connected] = await run([{ call: 'connect', values: [{ host: '127.0.0.1', port }], as: 'c' }]);
        assert.equal(connected?.error?.['code'], ipv6Only ? 'ECONNREFUSED' : undefined);
        await run([{ on: 'l', call: 'close' }]);
      }
    });
  });
}

for (const strategy of STRATEGIES) {
  test(`a host without descriptors refuses the connection that finds none, and no other, ${strategy}`, async () => {
    const child = join(import.meta.dirname, 'descriptors.child.js');
    const limited = ['-c', 'ulimit -n 120; exec "$0" "$@"', process.execPath, child, strategy, 'sockets'];
    const { stdout } = await promisify(execFile)('sh', limited);
    const { accepting, connecting, echoed, again, left } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([connecting, accepting, echoed, again, left], ['EMFILE', 'EMFILE', true, true, 0]);
  });
}

/** The port of a listener whose queue is full once two have connected: the next attempts are left waiting. */
function fullListener(t: TestContext): number {
  const descriptor = createSocket(AF_INET, SOCK_STREAM);
  t.after(() => closeDescriptor(descriptor));
  const address = new SocketAddressBuffer();
  assert.equal(bindSocket(descriptor, address.encode({ family: 'IPv4', address: '127.0.0.1', port: 0 })), 0);
  assert.equal(listenSocket(descriptor, 0), 0);
  assert.equal(localAddress(descriptor, address), 0);
  return (address.decode() as { port: number }).port;
}
