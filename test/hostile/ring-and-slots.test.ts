import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { mock, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { CallKind } from '../../src/boundary/kinds.ts';
import { CONTROL, SUBMISSION_BYTES } from '../../src/boundary/layout.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { callAsync, callSync, Direction } from '../../src/enclave/transfer.ts';
import { connect, ping, pingAsync } from '../../src/enclave.ts';
import { Enclave } from '../../src/host/enclave.ts';
import {
  ARENA_CLASSES,
  CALLS_IN_FLIGHT_MAX,
  CALLS_KEPT_FOR_ENDING,
  PAGE_BYTES,
  RING_ENTRIES,
} from '../../src/limits.ts';
import { closeDescriptor } from '../../src/linux/events.ts';
import { createSealedMemory, createSecretMemory, mapShared } from '../../src/linux/memory.ts';
import { LyingHost } from '../support/lying-host.ts';
import { Mutator } from '../support/mutator.ts';
import { HonestAnswers } from './honest-answers.ts';
import { codeOf, freshHost, outcomeOf, victim } from './victims.ts';

/** The ring and its slots: attacks R1 to R16; R17 and R18 are in ring-model.test.ts. */
const VIOLATION = 'SGXIO_HOST_VIOLATION';
const LIVE = { timeout: 120_000 };
const PEER = { host: '127.0.0.1', port: 7 };

function receiving(view: Uint8Array<ArrayBuffer>): Parameters<typeof callSync>[0] {
  return { kind: CallKind.receive, handle: 0, view, length: view.length, direction: Direction.in };
}

for (const claim of [-1, 0x7fff_ffff, -0x8000_0000, RING_ENTRIES + 1, -RING_ENTRIES]) {
  test(`R1 a host that claims to have taken ${claim} entries frees none`, async () => {
    const host = freshHost();
    host.takes = false;
    Atomics.store(host.words, host.layout.submissionsTaken >> 2, claim);
    const started: Promise<unknown>[] = [];
    await host.run(async () => {
      for (let index = 0; index < RING_ENTRIES; index++) started.push(pingAsync());
      host.hurry = 1000;
      await assert.rejects(pingAsync(), { code: 'SGXIO_TIMED_OUT' });
      host.hurry = 0;
      const seen: number[] = [];
      host.script = (request) => {
        seen.push(request.id);
        host.answer(request.id, 0);
      };
      host.takes = true;
      host.serve();
      await Promise.all(started);
      assert.equal(new Set(seen).size, RING_ENTRIES);
    });
  });
}

test('R1 R2 nothing that the enclave works by is read back from the boundary', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  const { layout } = host;
  let calls = 0;
  host.serve((request, { words }) => {
    calls++;
    const garbage = (calls * 0x9e37_79b1) | 0;
    for (const offset of [layout.completionsTaken, layout.enclaveParked, layout.hostParked]) {
      Atomics.store(words, offset >> 2, garbage);
    }
    for (const offset of [CONTROL.imageBytes, CONTROL.enclaveState, CONTROL.failureBytes]) {
      Atomics.store(words, offset >> 2, garbage);
    }
    host.answerBlindly(request.id, 0);
  });
  assert.equal(await host.launch('pings', 1000), 1000);
  assert.equal(calls, 1000);
});

test('R3 results that change while they are checked are believed once or not at all', LIVE, async () => {
  for (const [launched, words] of [
    ['receives', [2]],
    ['times', [2, 3, 4]],
  ] as const) {
    await using host = await LyingHost.start(await victim());
    const offsets = Array.from({ length: RING_ENTRIES }, (_, entry) =>
      words.map((word) => host.layout.completionRing + entry * 32 + word * 4),
    ).flat();
    const honest = new HonestAnswers();
    host.serve(honest.answer);
    await using mutator = new Mutator(host.boundary.buffer, offsets, [64, 0, 0x10_0000, 2_000_000_000]);
    await mutator.begun();
    const outcome = await host.launch(launched, 500).catch(codeOf);
    if (outcome === 'SGXIO_ENCLAVE_STOPPED') assert.equal((await host.ended).code, VIOLATION);
    else {
      const { spilled, longest, backwards, impossible } = outcome as Record<string, unknown>;
      assert.ok(!spilled && !backwards && !impossible && !(Number(longest) > 64), JSON.stringify(outcome));
    }
  }
});

test('R4 an answer for a call that was never made stops the enclave', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  host.serve((request) => host.answer(request.id + 1, 0));
  await assert.rejects(host.launch('pings', 1));
  assert.equal((await host.ended).code, VIOLATION);
});

test('R4 an answer when no call is in flight at all stops the enclave', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  host.answer(1, 0);
  assert.equal((await host.ended).code, VIOLATION);
});

test('R5 an answer is taken once, and an old one never for a new call of the same slot', async () => {
  let first: Request | undefined;
  const replay = await outcomeOf(
    (request, host) => {
      first ??= request;
      assert.equal(request.id & 0x3fff, first.id & 0x3fff);
      host.answer(first.id, 0);
    },
    () => {
      ping();
      ping();
    },
  );
  assert.equal(replay, VIOLATION);
  const twice = await outcomeOf(
    (request, host) => {
      host.answer(request.id, 0);
      host.answer(request.id, 0);
    },
    () => {
      ping();
      ping();
    },
  );
  assert.equal(twice, VIOLATION);
});

test('R6 answers come in any order, and all at once', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  const waiting: number[] = [];
  host.serve((request) => {
    waiting.push(request.id);
    if (waiting.length < 100) return;
    waiting.sort((a, b) => ((a * 0x9e37_79b1) >>> 0) - ((b * 0x9e37_79b1) >>> 0));
    for (const id of waiting.splice(0)) host.answer(id, 0);
  });
  assert.equal(await host.launch('pingsAtOnce', 1000), 1000);
});

test('R7 the payload of a call given up stays out of use until the host answers', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const host = freshHost();
    const seen: Request[] = [];
    host.script = (request) => seen.push(request);
    const view = new Uint8Array(256);
    await host.run(async () => {
      const received = callAsync(receiving(view), { timeout: 10 });
      mock.timers.tick(10 + 2001);
      await assert.rejects(received, { code: 'SGXIO_TIMED_OUT' });
      const [late, cancel] = seen as [Request, Request];
      assert.equal(cancel.kind, CallKind.cancel);
      assert.equal(cancel.a0, late.id);
      const inUse = host.port.blocksInUse;
      const next = callAsync(receiving(new Uint8Array(256)));
      assert.notEqual((seen[2] as Request).payload, late.payload);
      host.payload(late).fill(0xee);
      host.answer(late.id, 256);
      host.answer((seen[2] as Request).id, 0);
      await next;
      assert.equal(host.port.blocksInUse, inUse - 1);
      assert.deepEqual(view, new Uint8Array(256));
    });
  } finally {
    mock.timers.reset();
  }
});

test('R7 a handle that comes for a call given up goes back to the host', async () => {
  const host = freshHost();
  const seen: Request[] = [];
  host.script = (request) => seen.push(request);
  const abort = new AbortController();
  await host.run(async () => {
    const accepted = callAsync({ kind: CallKind.accept, handle: 0 }, { signal: abort.signal });
    abort.abort();
    await assert.rejects(accepted, { code: 'SGXIO_ABORTED' });
    host.answer((seen[0] as Request).id, 9);
    while (seen.length < 3) await setImmediate();
    const closed = seen[2] as Request;
    assert.equal(closed.kind, CallKind.close);
    assert.equal(closed.handle, 9);
    host.answer(closed.id, 0);
    host.answer((seen[1] as Request).id, 0);
    while (host.calls.inFlight > 0) await setImmediate();
  });
});

test('R7 giving up while every slot is taken is told to the program all the same', async () => {
  const host = freshHost();
  host.script = () => {};
  const abort = new AbortController();
  await host.run(async () => {
    const all = Array.from({ length: CALLS_IN_FLIGHT_MAX - CALLS_KEPT_FOR_ENDING }, () =>
      callAsync({ kind: CallKind.accept, handle: 0 }, { signal: abort.signal }).catch(codeOf),
    );
    await assert.rejects(callAsync(receiving(new Uint8Array(64))), { code: 'SGXIO_CHANNEL_FULL' });
    assert.equal(host.port.blocksInUse, 0);
    abort.abort();
    assert.deepEqual(new Set(await Promise.all(all)), new Set(['SGXIO_ABORTED']));
  });
});

test('R8 R9 what was received is a private copy of one moment', async () => {
  const host = freshHost();
  let receive: Request | undefined;
  host.script = (request) => {
    if (request.kind === CallKind.receive) {
      receive = request;
      host.payload(request).fill(0);
    } else host.payload(receive as Request).fill(0xee);
    host.answer(request.id, request.length);
  };
  const view = new Uint8Array(256).fill(1);
  await host.run(() => {
    assert.equal(callSync(receiving(view)), 256);
    ping();
  });
  assert.ok(host.payload(receive as Request).every((byte) => byte === 0xee));
  assert.ok(view.every((byte) => byte === 0));
  assert.ok(view.buffer instanceof ArrayBuffer);
});

test('R10 a call that an honest host answers at once is given up after a minute', async () => {
  const outcome = await outcomeOf(
    () => {},
    () => ping(),
  );
  assert.equal(outcome, 'SGXIO_TIMED_OUT');
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const host = freshHost();
    await host.run(async () => {
      const late = pingAsync();
      mock.timers.tick(60_001);
      await assert.rejects(late, { code: 'SGXIO_TIMED_OUT' });
    });
  } finally {
    mock.timers.reset();
  }
});

test('R10 a call with a deadline ends soon after it, whatever the host does', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  host.serve((request) => {
    if (request.kind === CallKind.connect) host.answer(request.id, 1);
  });
  await assert.rejects(host.launch('receiveWithin', 20), { innerCode: 'SGXIO_TIMED_OUT' });
});

test('R11 a host that always claims to sleep is woken in vain, and served through the ring', async () => {
  const host = freshHost();
  let claim = 0;
  host.script = (request) => {
    Atomics.store(host.words, host.layout.hostParked >> 2, ++claim);
    host.answer(request.id, 0);
  };
  await host.run(() => {
    for (let index = 0; index < 300; index++) ping();
  });
  assert.equal(claim, 300);
});

test('R12 a storm of wake-ups ends no wait, and an answer needs none', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  let received: Request | undefined;
  host.serve((request) => {
    if (request.kind === CallKind.connect) host.answer(request.id, 1);
    else received = request;
  });
  const outcome = host.launch('receives', 1);
  for (let storm = 0; storm < 2000; storm++) {
    host.wake();
    if (storm % 100 === 0) await setImmediate();
  }
  while (received === undefined) await setImmediate();
  host.answer(received.id, 3);
  assert.deepEqual(await outcome, { spilled: false, longest: 3 });
});

test('R12 a timer that makes a call leaves the sleep of the event loop as it was', LIVE, async () => {
  const server = createServer((socket) => {
    socket.once('data', () => setTimeout(() => socket.end('later'), 100));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await using enclave = await Enclave.create(await victim(), { strategy: 'exit' });
    const { port } = server.address() as AddressInfo;
    assert.equal(await enclave.launch('sendFromTimer', port), 5);
  } finally {
    server.close();
  }
});

test(
  'R13 R14 words and arena under a hammering thread hold nothing that progress depends on',
  LIVE,
  async () => {
    await using host = await LyingHost.start(await victim());
    const { layout } = host;
    const offsets = [
      layout.completionsTaken,
      layout.enclaveParked,
      layout.submissionsTaken,
      layout.hostParked,
      layout.bell,
      layout.arena,
      layout.arena + PAGE_BYTES,
    ];
    host.serve(new HonestAnswers().answer);
    await using mutator = new Mutator(host.boundary.buffer, offsets, [0, -1, 0x7fff_ffff, 6, 0x5555_5555]);
    await mutator.begun();
    assert.equal(await host.launch('pings', 100), 100);
    assert.deepEqual(await host.launch('receives', 20), { spilled: false, longest: 64 });
  },
);

test('R14 payload rooms never overlap, whatever the host writes into them', async () => {
  const host = freshHost();
  const live: Request[] = [];
  host.script = (request) => {
    live.push(request);
    host.payload(request).fill(0xff);
    host.bytes.fill(0xff, host.layout.arena, host.layout.arena + 65_536);
  };
  await host.run(async () => {
    const lengths = ARENA_CLASSES.map(({ bytes }) => bytes);
    const calls = Array.from({ length: 60 }, (_, index) =>
      callAsync(receiving(new Uint8Array(lengths[index % 4] as number))),
    );
    const rooms = live.map(({ payload, length }) => [payload, payload + length] as const);
    rooms.sort(([a], [b]) => a - b);
    for (let index = 1; index < rooms.length; index++) {
      assert.ok((rooms[index - 1] as readonly number[])[1]! <= (rooms[index] as readonly number[])[0]!);
    }
    for (const { id } of live) host.answer(id, 0);
    await Promise.all(calls);
    assert.equal(host.port.blocksInUse, 0);
  });
});

test('R15 the boundary is mapped where nothing else lies', () => {
  const bytes = 65_536;
  const memory = createSealedMemory('overlap', bytes);
  const regions = [mapShared(memory, bytes), mapShared(memory, bytes), createSecretMemory(bytes)];
  closeDescriptor(memory);
  for (const a of regions) {
    for (const b of regions) assert.ok(a === b || Math.abs(a.address - b.address) >= bytes);
  }
  new Uint8Array(regions[0]!.buffer).fill(0xee);
  assert.ok(new Uint8Array(regions[2]!.buffer).every((byte) => byte === 0));
});

test('R16 an entry and a payload carry what was given and nothing beside it', async () => {
  const host = freshHost();
  let sent: Request | undefined;
  host.bytes.fill(0xa5, host.layout.arena, host.layout.arena + 512);
  host.script = (request) => {
    sent ??= request.kind === CallKind.send ? request : undefined;
    host.answer(request.id, request.kind === CallKind.send ? request.length : 0);
  };
  const secret = new Uint8Array(256).fill(0x77);
  await host.run(() => connect(PEER).send(secret.subarray(100, 110)));
  const room = host.bytes.subarray(
    host.layout.arena + sent!.payload,
    host.layout.arena + sent!.payload + 256,
  );
  assert.ok(room.subarray(0, 10).every((byte) => byte === 0x77));
  assert.ok(room.subarray(16).every((byte) => byte === 0xa5));
  for (let entry = 0; entry < RING_ENTRIES; entry++) {
    const start = (host.layout.submissionRing + entry * SUBMISSION_BYTES) >> 2;
    assert.deepEqual([...host.words.subarray(start + 13, start + 16)], [0, 0, 0]);
  }
});
