import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import process from 'node:process';
import { test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { CallKind, type CallKindName, callRules } from '../../src/boundary/kinds.ts';
import { boundaryBytes, CONTROL, channelLayout, EnclaveState } from '../../src/boundary/layout.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { callSync } from '../../src/enclave/transfer.ts';
import { connect } from '../../src/enclave.ts';
import { Enclave } from '../../src/host/enclave.ts';
import { WORD_STRIDE_BYTES } from '../../src/limits.ts';
import { declare } from '../../src/linux/ffi.ts';
import { createSealedMemory, mapShared } from '../../src/linux/memory.ts';
import { openDescriptors } from '../../src/linux/process.ts';
import { LyingHost } from '../support/lying-host.ts';
import { HonestAnswers } from './honest-answers.ts';
import { freshHost, victim } from './victims.ts';

/** Control flow and events, attacks C1 to C5, C8 and C9; and what JavaScript and shared memory add (6f). */
const VIOLATION = 'SGXIO_HOST_VIOLATION';
const LIVE = { timeout: 120_000 };
const PEER = { host: '127.0.0.1', port: 7 };

test('C1 signals and bells that nobody rang change nothing', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  host.serve(new HonestAnswers().answer);
  const running = host.launch('pings', 200);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGPIPE'] as const) {
    process.kill(host.pid, signal);
    host.wake();
  }
  assert.equal(await running, 200);
});

test('C2 a launch waits for the call that the one before it makes', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  let receive: Request | undefined;
  host.serve((request) => {
    if (request.kind === CallKind.receive) receive = request;
    else host.answer(request.id, 1);
  });
  const around = host.launch('noteAround');
  while (receive === undefined) await setImmediate();
  const between = host.launch('note', 'another launch');
  host.wake();
  await setTimeout(50);
  host.answer(receive.id, 0);
  await Promise.all([around, between]);
  assert.deepEqual(await host.launch('noted'), ['begin', 'end', 'another launch']);
});

test('C3 answers before any call, and launches after the stop, are not acted on', LIVE, async () => {
  await using early = await LyingHost.start(await victim(), {
    spoil: ({ words, layout }) => {
      words.set([1, 1 << 14, 0], layout.completionRing >> 2);
    },
  });
  assert.equal((await early.ended).code, VIOLATION);
  await using stopped = await LyingHost.start(await victim());
  stopped.requestStop();
  const ending = await stopped.ended;
  assert.deepEqual([ending.state, ending.exitCode], [EnclaveState.leaving, 0]);
});

test('C4 launches at the same time interleave where they wait, and nowhere else', LIVE, async () => {
  await using host = await LyingHost.start(await victim());
  host.serve(new HonestAnswers().answer);
  const counts = await Promise.all(Array.from({ length: 50 }, () => host.launch('count')));
  assert.deepEqual(
    counts.map(Number).sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, index) => index),
  );
});

test('C5 no call acts on the identity, the mask or the directory of the thread that serves it', () => {
  const syscalls = Object.values(callRules).map(({ syscall }) => syscall);
  const forbidden =
    /^(set(e|re|res|fs)?[ug]id|capset|umask|chdir|fchdir|chroot|sigprocmask|prctl|personality)$/;
  assert.deepEqual(
    syscalls.filter((name) => forbidden.test(name)),
    [],
  );
});

test('C8 an enclave that is stopped with calls in flight leaves nothing behind', LIVE, async () => {
  const warmUp = await Enclave.create(await victim());
  await warmUp.stop();
  const before = openDescriptors().size;
  const enclave = await Enclave.create(await victim());
  const pending = Array.from({ length: 100 }, () => enclave.launch('waitForever'));
  const outcomes = Promise.allSettled(pending);
  await enclave.launch('pings', 10);
  await enclave.stop();
  for (const { status } of await outcomes) assert.equal(status, 'rejected');
  assert.equal(openDescriptors().size, before);
});

test('C9 an answer of another kind of call is held to the rule of the one that was made', async () => {
  const connected = 17;
  const host = freshHost((request, side) => side.answer(request.id, connected));
  const view = new Uint8Array(16);
  const receive = { kind: CallKind.receive, handle: 0, view, length: 16, direction: 2 };
  await assert.rejects(
    host.run(() => callSync(receive)),
    { code: VIOLATION },
  );
  for (const [name, { result }] of Object.entries(callRules)) {
    if (result !== 'zero') continue;
    const other = freshHost((request, side) => side.answer(request.id, connected));
    const call = { kind: CallKind[name as CallKindName], handle: 0 };
    await assert.rejects(
      other.run(() => callSync(call)),
      { code: VIOLATION },
      name,
    );
  }
});

test('6f what was received shares nothing with the boundary', async () => {
  const host = freshHost(new HonestAnswers().answer);
  const view = new Uint8Array(64);
  await host.run(() => connect(PEER).receive(view));
  const digest = createHash('sha256').update(view).digest('hex');
  host.bytes.fill(0xee, host.layout.arena, host.layout.arena + 65_536);
  assert.equal(createHash('sha256').update(view).digest('hex'), digest);
});

test('6f the boundary neither grows nor shrinks under the enclave', LIVE, async () => {
  const bytes = boundaryBytes(1);
  const { buffer } = mapShared(createSealedMemory('fixed', bytes), bytes);
  assert.equal(buffer.growable, false);
  assert.throws(() => buffer.grow(bytes * 2), TypeError);
  const memfdCreate: (name: string, flags: number) => number = declare(
    'int memfd_create(const char *, uint)',
  );
  const ftruncate: (fd: number, bytes: number) => number = declare('int ftruncate(int, int64)');
  await using unsealed = await LyingHost.start(await victim(), {
    memory: (size) => {
      const memory = memfdCreate('unsealed', 0);
      ftruncate(memory, size);
      return memory;
    },
  });
  assert.equal((await unsealed.ended).code, VIOLATION);
  await using larger = await LyingHost.start(await victim(), {
    memory: (size) => createSealedMemory('larger', size + 65_536),
  });
  assert.equal((await larger.ended).code, VIOLATION);
});

test('6f a host worker that dies in the middle ends in an error, not in a wrong answer', LIVE, async () => {
  await using host = await LyingHost.start(await victim(), { honest: true });
  assert.equal(await host.launch('pings', 100), 100);
  await host.terminateWorker();
  await assert.rejects(host.launch('connectWithin', 20), { innerCode: 'SGXIO_TIMED_OUT' });
});

test('6f each shared word has a cache line pair of its own', () => {
  const { submissionRing, completionRing, launchRing, outcomeRing, arena, counters, ...rest } =
    channelLayout(0);
  const words = Object.entries(rest).filter(([name]) => !name.endsWith('Payloads'));
  const offsets = [...words.map(([, offset]) => offset), ...Object.values(CONTROL)].sort((a, b) => a - b);
  for (const offset of offsets) assert.equal(offset % WORD_STRIDE_BYTES, 0);
  assert.equal(new Set(offsets).size, offsets.length);
});
