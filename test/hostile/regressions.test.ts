import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallKind } from '../../src/boundary/kinds.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { callSync, Direction } from '../../src/enclave/transfer.ts';
import { connect, ping, wallTime } from '../../src/enclave.ts';
import type { HostSide } from '../support/host-side.ts';
import { exercises } from './fixtures/every-kind.ts';
import { HonestAnswers } from './honest-answers.ts';
import { ownLies } from './lies.ts';
import { freshHost, outcomeOf } from './victims.ts';

/** Faults that other enclaves really had, each by its number, tried on this one. */
const VIOLATION = 'SGXIO_HOST_VIOLATION';
const PEER = { host: '127.0.0.1', port: 7 };

function receivesWith(tell: (request: Request, host: HostSide) => void): Promise<string> {
  const honest = new HonestAnswers();
  return outcomeOf((request, host) => {
    if (request.kind === CallKind.receive) tell(request, host);
    else honest.answer(request, host);
  }, exercises.receive);
}

for (const id of ['CVE-2020-8942', 'CVE-2020-8905', 'keystone-runtime #21']) {
  test(`${id}: a read that returns more than it was asked for`, async () => {
    assert.equal(
      await receivesWith((request, host) => host.answer(request.id, request.length + 1)),
      VIOLATION,
    );
  });
}

for (const id of ['CVE-2019-1369', 'CVE-2020-15224', 'keystone PR #353']) {
  test(`${id}: memory beside a payload goes to the host`, async () => {
    const host = freshHost((request, side) => side.answer(request.id, 0));
    host.bytes.fill(0, host.layout.arena, host.layout.arena + 4096);
    const memory = new Uint8Array(512).fill(0x77);
    const view = memory.subarray(128, 192);
    const transfer = { kind: CallKind.send, handle: 0, view, length: 256, direction: Direction.out };
    await assert.rejects(
      host.run(() => callSync(transfer)),
      RangeError,
    );
    assert.ok(host.bytes.subarray(host.layout.arena, host.layout.arena + 4096).every((byte) => byte === 0));
  });
}

for (const id of ['CVE-2022-21233', 'CVE-2022-21166']) {
  test(`${id}: stale words of an earlier call go out with a later one`, async () => {
    const words: number[][] = [];
    const host = freshHost();
    host.script = (request, side) => {
      const entry = (host.layout.submissionRing >> 2) + ((words.length % 256) << 4);
      words.push([...host.words.subarray(entry + 1, entry + 16)]);
      side.answer(request.id, 0);
    };
    await host.run(() => {
      const call = { handle: 0x1234, view: new Uint8Array(64), length: 64, a0: -1, a1: -1, a2: -1, a3: -1 };
      for (let count = 0; count < 256; count++)
        callSync({ ...call, kind: CallKind.send, direction: Direction.out });
      ping();
    });
    const [kind, , ...rest] = words[256] as number[];
    assert.equal(kind, CallKind.nothing);
    assert.deepEqual(rest, [0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, 0, 0]);
  });
}

test('CVE-2019-0876: a text from the host without an end', async () => {
  const lie = ownLies.readDirectory.find(({ name }) => name === 'a name without an end');
  const honest = new HonestAnswers();
  const outcome = await outcomeOf(
    (request, host) =>
      request.kind === CallKind.readDirectory ? lie?.tell(request, host) : honest.answer(request, host),
    exercises.readDirectory,
  );
  assert.equal(outcome, VIOLATION);
});

for (const id of ['CVE-2020-8904', 'CVE-2020-8935', 'CVE-2021-44421']) {
  test(`${id}: the host says where the enclave is to write`, async () => {
    const view = new Uint8Array(256);
    const honest = new HonestAnswers();
    const host = freshHost((request, side) => {
      const entries = side.layout.submissionRing >> 2;
      side.words.fill(0x7fff_fff0, entries, entries + 256 * 16);
      honest.answer(request, side);
    });
    await host.run(() => connect(PEER).receive(view.subarray(64, 128)));
    assert.deepEqual([view[63], view[64], view[127], view[128]], [0, 0x5a, 0x5a, 0]);
  });
}

for (const id of ['CVE-2021-22548', 'CVE-2021-22549', 'CVE-2021-22550', 'keystone PR #17']) {
  test(`${id}: a value of the host is read twice`, async () => {
    const host = freshHost((request, side) => side.answer(request.id, 0, 1_700_000_000, 5));
    const { completionRing } = host.layout;
    const reads = new Map<number, number>();
    const words = host.words;
    const real = Object.getOwnPropertyDescriptor(globalThis, 'Atomics') as PropertyDescriptor;
    const counting = (array: Int32Array, index: number): number => {
      const entry = index - (completionRing >> 2);
      if (array.buffer === words.buffer && entry >= 0 && entry < 256 * 8)
        reads.set(entry, (reads.get(entry) ?? 0) + 1);
      return (real.value as typeof Atomics).load(array, index);
    };
    const store = (real.value as typeof Atomics).store;
    Object.defineProperty(globalThis, 'Atomics', { ...real, value: { load: counting, store } });
    try {
      await host.run(wallTime);
    } finally {
      Object.defineProperty(globalThis, 'Atomics', real);
    }
    // Sequence words alone are looked at again and again; what they announce is copied once, plainly.
    assert.ok(
      [...reads.keys()].every((entry) => entry % 8 === 0),
      [...reads.keys()].join(),
    );
  });
}

test('CVE-2021-22552: the answer says of which call it is', async () => {
  assert.equal(await receivesWith((request, host) => host.answer(CallKind.connect, request.id)), VIOLATION);
});

for (const id of ['CVE-2021-0186', 'CVE-2021-33767', 'CVE-2024-29970']) {
  test(`${id}: an event in the middle of a call`, async () => {
    let asked: Request | undefined;
    const host = freshHost((request) => {
      asked = request;
    });
    let storms = 0;
    host.onPark = () => {
      Atomics.add(host.words, host.layout.bell >> 2, 1);
      Atomics.store(host.words, host.layout.enclaveParked >> 2, 0);
      if (++storms === 5) host.answer((asked as Request).id, 0);
    };
    await host.run(ping);
    assert.equal(storms, 5);
  });
}

test('gramine PR #1955: a result is read after its slot was given back', async () => {
  const host = freshHost((request, side) => side.answer(request.id, 0));
  await host.run(() => {
    const { calls } = host;
    const first = calls.start(CallKind.nothing, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, undefined);
    calls.port.poll();
    const second = calls.start(CallKind.nothing, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, undefined);
    assert.notEqual(first, second);
    assert.equal(calls.finish(first), 0);
    assert.equal(calls.finish(second), 0);
  });
});
