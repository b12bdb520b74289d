import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGrants } from '../../src/boundary/grants.ts';
import { Executor } from '../../src/host/executor.ts';
import { Journal } from '../../src/host/journal.ts';
import { restoreHandles } from '../../src/host/restore.ts';
import { closeDescriptor } from '../../src/linux/events.ts';

const NOTHING_GRANTED = parseGrants({ listen: [], connect: [], files: [], streams: [], names: false });

test('what names stand for outlives the worker that asked', () => {
  const journal = new Journal();
  const create = (): Executor => new Executor({}, NOTHING_GRANTED, 0, 0, { complete: () => {} }, [], journal);
  const first = create();
  first.resolve('one.example', ['192.0.2.1', '2001:db8::1']);
  first.resolve('two.example', ['192.0.2.2']);
  first.resolve('one.example', ['192.0.2.3']);
  const second = create();
  restoreHandles(second, new Journal(journal.buffer));
  const standsFor = (name: string, address: string): boolean =>
    second.resolved.standsFor(name, {
      family: address.includes(':') ? 'IPv6' : 'IPv4',
      address,
      port: 80,
    });
  assert.deepEqual(
    ['192.0.2.1', '2001:db8::1', '192.0.2.2', '192.0.2.3'].map((address) => [
      standsFor('one.example', address),
      standsFor('two.example', address),
    ]),
    [
      [true, false],
      [false, false],
      [false, true],
      [true, false],
    ],
  );
  for (const { epoll } of [first, second]) closeDescriptor(epoll);
});
