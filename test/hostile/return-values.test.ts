import assert from 'node:assert/strict';
import { constants } from 'node:os';
import process from 'node:process';
import { test } from 'node:test';
import { decode } from '../../src/boundary/decoder.ts';
import type { CallKindName } from '../../src/boundary/kinds.ts';
import { CALL_KINDS, CallKind, resultLimit } from '../../src/boundary/kinds.ts';
import { ARENA_BYTES, CONTROL } from '../../src/boundary/layout.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { callSync, Direction } from '../../src/enclave/transfer.ts';
import { connect, files, monotonicTime, ping, wallTime } from '../../src/enclave.ts';
import { LAUNCH_PAYLOAD_MAX } from '../../src/limits.ts';
import { decodeSocketAddress } from '../../src/linux/socket-address.ts';
import type { HostSide, Script } from '../support/host-side.ts';
import type { InProcessHost } from '../support/in-process-host.ts';
import { LyingHost } from '../support/lying-host.ts';
import { exercises } from './fixtures/every-kind.ts';
import { HonestAnswers, nameOf } from './honest-answers.ts';
import { ownLies } from './lies.ts';
import { codeOf, freshHost, outcomeOf, victim } from './victims.ts';

/** What calls answer, and what is passed to them: attacks V1 to V18. */
const VIOLATION = 'SGXIO_HOST_VIOLATION';
const LIVE = { timeout: 120_000 };
const PEER = { host: '127.0.0.1', port: 7 };

/** Answers honestly, but for calls of one kind. */
function except(kind: CallKindName, tell: (request: Request, host: HostSide) => void): Script<InProcessHost> {
  const honest = new HonestAnswers();
  return (request, host) =>
    nameOf(request.kind) === kind ? tell(request, host) : honest.answer(request, host);
}

function answering(kind: CallKindName, result: number): Promise<string> {
  return outcomeOf(
    except(kind, (request, host) => host.answer(request.id, result)),
    exercises[kind],
  );
}

test('V1 no read returns more than it was asked for', async () => {
  for (const kind of ['receive', 'readFile'] as const) {
    assert.equal(await answering(kind, 65), VIOLATION);
    assert.equal(await answering(kind, 64), 'unharmed');
  }
});

test('V2 errors are those that the call can have', async () => {
  assert.equal(await answering('receive', -constants.errno.ECONNRESET), 'ECONNRESET');
  assert.equal(await answering('receive', -constants.errno.EEXIST), 'EIO');
  assert.equal(await answering('receive', -134), VIOLATION);
  assert.equal(await answering('clock', -constants.errno.EPERM), 'EIO');
});

test('V3 a write takes neither more than it was given nor nothing for ever', async () => {
  assert.equal(await answering('send', 65), VIOLATION);
  assert.equal(await answering('send', 0), 'SGXIO_TIMED_OUT');
  assert.equal(await answering('writeFile', 65), VIOLATION);
  const host = freshHost(except('writeFile', (request, side) => side.answer(request.id, 0)));
  assert.equal(await host.run(exercises.writeFile), 0);
});

test('V4 V5 an address is a whole sockaddr within its room, or none', () => {
  const room = new Uint8Array(128);
  room.set([1, 0]);
  room.fill(0x61, 2);
  const longest = decodeSocketAddress(room, 110);
  assert.equal(longest?.family === 'unix' && longest.path.length, 108);
  assert.equal(decodeSocketAddress(room, 111), undefined);
  assert.equal(decodeSocketAddress(room, 129), undefined);
  room.set([2, 0]);
  for (let length = 1; length < 129; length++) {
    assert.equal(decodeSocketAddress(room, length) !== undefined, length === 16, String(length));
  }
  room.set([10, 0]);
  for (let length = 1; length < 129; length++) {
    assert.equal(decodeSocketAddress(room, length) !== undefined, length === 28, String(length));
  }
});

test('V6 readiness is of what was asked, once each', async () => {
  for (const lie of ownLies.poll) {
    assert.equal(await outcomeOf(except('poll', lie.tell), exercises.poll), lie.outcome, lie.name);
  }
});

test('V7 a handle is new, within range, and no descriptor of the enclave', async () => {
  assert.equal(await answering('connect', 3), VIOLATION);
  assert.equal(await answering('connect', -1), 'EPERM');
  assert.equal(await answering('connect', 32_768), VIOLATION);
  const seen: number[] = [];
  const host = freshHost((request, side) => {
    seen.push(request.handle);
    side.answer(request.id, request.kind === CallKind.connect ? 1 : request.length);
  });
  await host.run(() => connect(PEER).send(new Uint8Array(8)));
  assert.deepEqual(seen, [0, 1]);
});

test('V8 sizes, times and types are such as files have', async () => {
  for (const lie of ownLies.statFile) {
    assert.equal(await outcomeOf(except('statFile', lie.tell), exercises.statFile), VIOLATION, lie.name);
  }
});

test('V9 where the enclave reads and writes is its own to say', async () => {
  const host = freshHost();
  const honest = new HonestAnswers();
  host.script = (request, side) => {
    const entries = host.layout.submissionRing >> 2;
    host.words.fill(-1, entries, entries + 256 * 16);
    honest.answer(request, side);
  };
  const view = new Uint8Array(256);
  await host.run(() => connect(PEER).receive(view.subarray(64, 128)));
  assert.deepEqual([view[63], view[64], view[127], view[128]], [0, 0x5a, 0x5a, 0]);
});

test('V10 no clock goes backwards', async () => {
  const seconds = [1_700_000_000, 1_600_000_000, 0, 1_700_000_001];
  const host = freshHost(
    except('clock', (request, side) => side.answer(request.id, 0, seconds.shift() ?? 0, 0)),
  );
  await host.run(() => {
    assert.equal(wallTime(), 1_700_000_000_000);
    assert.equal(wallTime(), 1_700_000_000_000);
    assert.equal(wallTime(), 1_700_000_000_000);
    assert.equal(wallTime(), 1_700_000_001_000);
  });
  const unsigned = freshHost(except('clock', (request, side) => side.answer(request.id, 0, -1, 999_999_999)));
  assert.equal(await unsigned.run(monotonicTime), (2 ** 32 - 1) * 1000 + 999.999999);
});

test('V11 names of a listing are names', async () => {
  for (const lie of ownLies.readDirectory) {
    assert.equal(
      await outcomeOf(except('readDirectory', lie.tell), exercises.readDirectory),
      VIOLATION,
      lie.name,
    );
  }
});

test('V12 no payload reaches beyond its view, whatever is added up', async () => {
  const secret = new Uint8Array(256).fill(0x77);
  const view = secret.subarray(64, 128);
  for (const [offset, length] of [
    [0, 65],
    [64, 1],
    [1, 64],
    [-1, 1],
    [2 ** 31, 8],
  ] as const) {
    const host = freshHost((request, side) => side.answer(request.id, 0));
    const send = { kind: CallKind.send, handle: 0, view, offset, length, direction: Direction.out };
    await assert.rejects(
      host.run(() => callSync(send)),
      RangeError,
    );
  }
  const host = freshHost((request, side) => side.answer(request.id, 0));
  const edge = { kind: CallKind.send, handle: 0, view, offset: 64, length: 0, direction: Direction.out };
  assert.equal(await host.run(() => callSync(edge)), 0);
});

test('V12 a result times its unit stays within its room', () => {
  for (let kind = 1; kind < CALL_KINDS; kind++) {
    assert.ok(resultLimit(kind, 1024, 1024) <= Math.max(1024, 32_767));
  }
});

test('V13 V15 V16 randomness, input and environment come from no host', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  let asked = 0;
  host.serve(() => asked++);
  const random = [await host.launch('random'), await host.launch('random')];
  assert.notEqual(random[0], random[1]);
  assert.deepEqual(await host.launch('environment'), { env: { greeting: 'hello' }, argv: [] });
  assert.equal(asked, 0);
});

test('V14 an address that the host made up changes nothing but itself', async () => {
  const handles: number[] = [];
  const honest = new HonestAnswers();
  const host = freshHost((request, side) => {
    handles.push(request.handle);
    honest.answer(request, side);
  });
  await host.run(() => {
    const connection = connect(PEER);
    assert.deepEqual(connection.peerAddress(), { family: 'IPv4', address: '192.0.2.1', port: 7 });
    connection.send(new Uint8Array(8));
  });
  assert.deepEqual(handles, [0, 0, 0]);
});

test('V15 V17 an image is of a length that images have, and measures what it must', LIVE, async () => {
  for (const bytes of [0, -1, 0x7fff_ffff]) {
    await using host = await LyingHost.start(await victim(), {
      spoil: ({ words }) => Atomics.store(words, CONTROL.imageBytes >> 2, bytes),
    });
    assert.equal((await host.ended).code, VIOLATION);
  }
  await using changed = await LyingHost.start(await victim(), {
    spoil: ({ bytes, layout, words }) => {
      const last = layout.arena + Atomics.load(words, CONTROL.imageBytes >> 2) - 2;
      bytes[last] = (bytes[last] as number) ^ 1;
    },
  });
  assert.match((await changed.ended).code, /^SGXIO_IMAGE_(TAMPERED|INVALID)$/);
  await using other = await LyingHost.start(await victim(), { boot: { measurement: '0'.repeat(64) } });
  assert.equal((await other.ended).code, 'SGXIO_IMAGE_TAMPERED');
});

test('V16 a program that catches the violation does not go on', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  host.serve((request) => host.answer(request.id, 1));
  await assert.rejects(host.launch('stubborn'), { code: 'SGXIO_ENCLAVE_STOPPED' });
  assert.equal((await host.ended).code, VIOLATION);
});

test('V17 nothing that the host says makes the enclave allocate', async () => {
  const before = process.memoryUsage().arrayBuffers;
  for (const kind of Object.keys(exercises) as CallKindName[]) {
    assert.ok([VIOLATION, 'SGXIO_TIMED_OUT'].includes(await answering(kind, 0x7fff_ffff)), kind);
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 28);
});

test('V18 what the host encodes costs what it weighs', () => {
  const deep = new Uint8Array(10_000).fill(0x81);
  const wide = Uint8Array.from([0x9a, 0xff, 0xff, 0xff, 0xff]);
  const long = Uint8Array.from([0x5a, 0x7f, 0xff, 0xff, 0xff]);
  const prototype = Uint8Array.from([0xa1, 0x69, ...new TextEncoder().encode('__proto__'), 0xa0]);
  for (const bytes of [deep, wide, long, prototype]) {
    assert.throws(() => decode(bytes, 'arguments', LAUNCH_PAYLOAD_MAX), { code: 'SGXIO_ENCODING_INVALID' });
  }
});

test('V18 an endless listing ends at its limit', async () => {
  const host = freshHost();
  const honest = new HonestAnswers();
  const record = new Uint8Array(24);
  record.set([24, 0, 8, 0x61], 16);
  const full = new Uint8Array(65_520);
  for (let start = 0; start < full.length; start += 24) full.set(record, start);
  host.script = (request, side) => {
    if (request.kind !== CallKind.readDirectory) return honest.answer(request, side);
    side.payload(request).set(full);
    side.answer(request.id, full.length);
  };
  const outcome = await host.run(() => files.readdir('/data')).then(() => 'unharmed', codeOf);
  assert.equal(outcome, 'SGXIO_INVALID_ARGUMENT');
});

test('an answer of the size of the whole arena is still one', async () => {
  assert.equal(await answering('readLink', ARENA_BYTES), VIOLATION);
  assert.equal(await outcomeOf((request, host) => host.answer(request.id, 0), ping), 'unharmed');
});
