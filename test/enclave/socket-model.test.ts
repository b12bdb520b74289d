import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Enclave } from '../../src/index.ts';
import type { Outcome, Step } from '../support/calls.program.ts';
import { until } from '../support/conditions.ts';
import { buildProgram, STRATEGIES, startEnclave, temporaryDirectory } from '../support/service-enclaves.ts';
import { openSockets } from '../support/sockets.ts';
import { ConnectionModel, type Operation, type Transport } from './connection-model.ts';
import { DatagramModel, type DatagramOperation } from './datagram-model.ts';

interface Judged {
  readonly step: Step;
  readonly judge: (outcome: Outcome) => void;
}

interface Model<O> {
  expect(operation: O): readonly Judged[];
  finish(): readonly Judged[];
}

const end = fc.nat(7);
const listener = fc.nat(1);
const kindOf = <K extends string>(...kinds: K[]) => fc.constantFrom(...kinds);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: kindOf('listen'), listener }) },
  { weight: 4, arbitrary: fc.record({ kind: kindOf('connect', 'accept'), listener }) },
  { weight: 1, arbitrary: fc.record({ kind: kindOf('closeListener'), listener }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: kindOf('send'),
      end,
      bytes: fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ maxLength: 5000, size: 'max' })),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: kindOf('receive'), end, room: fc.oneof(fc.nat(40), fc.nat(9000)) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: kindOf('shutdown'), end, half: kindOf('sending', 'receiving', 'both') }),
  },
  { weight: 2, arbitrary: fc.record({ kind: kindOf('peerAddress', 'close', 'close'), end }) },
  { weight: 1, arbitrary: fc.record({ kind: kindOf('reset'), end }) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<[string, unknown]>(
        ['setNoDelay', true],
        ['setKeepAlive', true],
        ['setSendBufferSize', 65_536],
        ['setReceiveBufferSize', 65_536],
      )
      .chain(([call, value]) =>
        fc.record({ kind: kindOf('option'), end, call: fc.constant(call), value: fc.constant(value) }),
      ),
  },
);

const socket = fc.nat(3);
const datagramOperation: fc.Arbitrary<DatagramOperation> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: kindOf('bind', 'connect', 'close'), socket, to: socket }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: kindOf('sendTo', 'send'),
      socket,
      to: socket,
      bytes: fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ maxLength: 2000, size: 'max' })),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: kindOf('receive'), socket, room: fc.nat(2500) }) },
);

const ONE_BYTE = new Uint8Array(1);

/**
 * Sequences that once went wrong: an error that a call of its kind was not known to have; and a small send that waits
 * for an acknowledgement (Nagle) until its peer has shut down both halves, which resets the connection.
 */
const failedConnections: [[Operation, boolean][]][] = [
  [
    [
      [{ kind: 'listen', listener: 0 }, false],
      [{ kind: 'connect', listener: 0 }, false],
      [{ kind: 'option', end: 0, call: 'setNoDelay', value: true }, false],
    ],
  ],
  [
    [
      [{ kind: 'listen', listener: 0 }, false],
      [{ kind: 'connect', listener: 0 }, false],
      [{ kind: 'send', end: 0, bytes: ONE_BYTE }, false],
      [{ kind: 'accept', listener: 0 }, false],
      [{ kind: 'send', end: 1, bytes: ONE_BYTE }, false],
      [{ kind: 'send', end: 0, bytes: ONE_BYTE }, false],
      [{ kind: 'send', end: 0, bytes: ONE_BYTE }, false],
      [{ kind: 'shutdown', end: 1, half: 'both' }, false],
      [{ kind: 'peerAddress', end: 0 }, false],
    ],
  ],
];

async function start(t: TestContext, strategy: (typeof STRATEGIES)[number]): Promise<[Enclave, string]> {
  const directory = temporaryDirectory(t);
  const unix = [0, 1, 2, 3].map((index) => `unix:${join(directory, String(index))}`);
  const image = await buildProgram(import.meta.dirname, 'net.program.js', {
    grants: {
      listen: ['tcp:127.0.0.1:*', 'udp:127.0.0.1:*', ...unix],
      connect: ['tcp:127.0.0.1:*', 'udp:127.0.0.1:*', ...unix],
    },
  });
  return [await startEnclave(t, image, { strategy }), directory];
}

/** Any sequence of calls, some in the form that waits and some in the other, does what the model does. */
async function agree<O>(
  enclave: Enclave,
  operations: fc.Arbitrary<O>,
  makeModel: () => Model<O>,
  failed: readonly [[O, boolean][]][] = [],
): Promise<void> {
  const perform = async ({ step, judge }: Judged, asynchronous: boolean): Promise<void> => {
    const [outcome] = (await enclave.launch('run', [step], asynchronous)) as [Outcome];
    judge(outcome);
  };
  const sequence = fc.array(fc.tuple(operations, fc.boolean()), { maxLength: 80, size: 'max' });
  const before = openSockets(enclave.pid!);
  await fc.assert(
    fc.asyncProperty(sequence, async (steps) => {
      const model = makeModel();
      try {
        for (const [operation, asynchronous] of steps) {
          for (const expected of model.expect(operation)) await perform(expected, asynchronous);
        }
      } catch (error) {
        // What fails again while it is made smaller begins with nothing open.
        await enclave.launch(
          'run',
          model.finish().map(({ step }) => step),
          false,
        );
        throw error;
      }
      for (const expected of model.finish()) await perform(expected, false);
      assert.deepEqual(openSockets(enclave.pid!), before);
    }),
    { numRuns: 60, examples: [...failed] },
  );
  await until(() => enclave.stats().enclave.inFlight === 0 && enclave.stats().enclave.arenaBlocks === 0);
}

for (const strategy of STRATEGIES) {
  for (const transport of ['tcp', 'unix'] as Transport[]) {
    test(`any sequence of calls on connections does what queues of bytes do: ${transport}, ${strategy}`, async (t) => {
      const [enclave, directory] = await start(t, strategy);
      const where = (index: number): object =>
        transport === 'tcp' ? { host: '127.0.0.1', port: 0 } : { path: join(directory, String(index)) };
      await agree(enclave, operation, () => new ConnectionModel(transport, where), failedConnections);
    });
  }

  for (const transport of ['udp', 'unix'] as const) {
    test(`any sequence of calls with datagrams does what queues of them do: ${transport}, ${strategy}`, async (t) => {
      const [enclave, directory] = await start(t, strategy);
      const where = (index: number): object =>
        transport === 'udp' ? { host: '127.0.0.1', port: 0 } : { path: join(directory, String(index)) };
      await agree(enclave, datagramOperation, () => new DatagramModel(transport, where));
    });
  }
}
