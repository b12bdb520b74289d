import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseGrants } from '../../src/boundary/grants.ts';
import { CallKind } from '../../src/boundary/kinds.ts';
import { ARENA_BYTES, boundaryBytes, channelLayout } from '../../src/boundary/layout.ts';
import { CompletionReader, Request, SubmissionWriter } from '../../src/boundary/ring.ts';
import { Blocking } from '../../src/host/blocking.ts';
import { BlockingCall } from '../../src/host/blocking-call.ts';
import { Enclave } from '../../src/host/enclave.ts';
import { Executor, type Pending } from '../../src/host/executor.ts';
import { Pool } from '../../src/host/pool.ts';
import { buildImage } from '../../src/image/build.ts';
import { CALLS_IN_FLIGHT_MAX, HANDLES_MAX, PAYLOAD_MAX, RING_ENTRIES } from '../../src/limits.ts';
import { privateAddress } from '../../src/linux/addresses.ts';
import { closeDescriptor, createEvent, signalEvent } from '../../src/linux/events.ts';
import { createSealedMemory, mapShared } from '../../src/linux/memory.ts';
import { encodeSocketAddress } from '../../src/linux/socket-address.ts';
import { LoneWorker } from '../support/lone-worker.ts';
import type { RawCall } from './fixtures/malicious.ts';

/** What a host keeps from an enclave that attacks it with submissions of its own making. */
const { EACCES, EAGAIN, EBADF, EINVAL, EMFILE, ENOSYS } = constants.errno;
const LIVE = { timeout: 120_000 };
const NOTHING_GRANTED = parseGrants({ listen: [], connect: [], files: [], streams: [], names: false });

const directory = mkdtempSync(join(tmpdir(), 'granted-'));
const fixed = mkdtempSync(join(tmpdir(), 'fixed-'));
after(() => {
  for (const path of [directory, fixed]) rmSync(path, { recursive: true });
});

async function attack(calls: readonly RawCall[]): Promise<number[]> {
  const image = await buildImage(fileURLToPath(new URL('./fixtures/malicious.js', import.meta.url)), {
    name: 'malicious',
    grants: {
      files: [
        { mount: '/data', access: 'read-write' },
        { mount: '/fixed', access: 'read' },
      ],
    },
  });
  await using enclave = await Enclave.create(image, { directories: { '/data': directory, '/fixed': fixed } });
  const answers: number[] = [];
  for (const call of calls) answers.push((await enclave.launch('raw', call)) as number);
  return answers;
}

function text(value: string): number[] {
  return [...new TextEncoder().encode(value)];
}

test('a handle that was never given reaches nothing', LIVE, async () => {
  const kinds = [
    CallKind.receive,
    CallKind.send,
    CallKind.accept,
    CallKind.close,
    CallKind.poll,
    CallKind.readFile,
  ];
  const calls = kinds.flatMap((kind) =>
    [0, 1, 7, -1, HANDLES_MAX, 0x7fff_ffff, -0x8000_0000].map((handle) => ({ kind, handle, length: 8 })),
  );
  for (const answer of await attack(calls)) assert.equal(answer, -EBADF);
});

test('a payload outside the arena is neither read nor written', LIVE, async () => {
  const places = [
    [ARENA_BYTES, 1],
    [ARENA_BYTES - 4, 8],
    [-1, 1],
    [-0x8000_0000, 8],
    [0x7fff_ffff, PAYLOAD_MAX],
    [0, PAYLOAD_MAX + 1],
    [0, -1],
  ] as const;
  const calls = places.flatMap(([payload, length]) =>
    [CallKind.connect, CallKind.receive, CallKind.statPath, CallKind.openFile].map((kind) => ({
      kind,
      payload,
      length,
    })),
  );
  for (const answer of await attack(calls)) assert.equal(answer, -EINVAL);
  const bytes = text('file');
  const short = { kind: CallKind.statPath, payload: ARENA_BYTES - 8, length: 8, bytes, values: [0, 4] };
  assert.deepEqual(await attack([short]), [-EINVAL]);
});

test('a kind of call that there is not is not served', LIVE, async () => {
  const calls = [0, 63, 64, 65, -1, 0x7fff_ffff, CallKind.echo].map((kind) => ({ kind }));
  for (const answer of await attack(calls)) assert.equal(answer, -ENOSYS);
});

test('no address beyond the grants is listened at or connected to', LIVE, async () => {
  let connections = 0;
  const server = createServer(() => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const calls = [
    { family: 'IPv4', address: '127.0.0.1', port } as const,
    { family: 'IPv6', address: '::ffff:127.0.0.1', port } as const,
    { family: 'unix', path: '/run/service.sock' } as const,
    { family: 'unix', path: '\0abstract' } as const,
  ].flatMap((address) => {
    const bytes = new Uint8Array(128);
    const length = encodeSocketAddress(address, bytes);
    return [CallKind.connect, CallKind.listen].map((kind) => ({
      kind,
      length,
      bytes: [...bytes.subarray(0, length)],
    }));
  });
  try {
    for (const answer of await attack(calls)) assert.equal(answer, -EACCES);
    assert.equal(connections, 0);
  } finally {
    server.close();
  }
});

test('no file beyond the mounts is opened, and none of a mount for reading is written', LIVE, async () => {
  writeFileSync(join(fixed, 'file'), 'fixed');
  symlinkSync('/etc/passwd', join(directory, 'way-out'));
  const open = (mount: number, path: string, flags = 0): RawCall => {
    const bytes = text(path);
    return { kind: CallKind.openFile, length: bytes.length, bytes, values: [mount, flags, 0] };
  };
  const outside = [
    open(0, '/etc/passwd'),
    open(0, '../../etc/passwd'),
    open(0, 'way-out'),
    open(0, 'x/../..'),
  ];
  for (const answer of await attack(outside)) assert.ok(answer < 0 && answer > -134, String(answer));
  const forged = [open(2, 'file'), open(-1, 'file'), open(0x7fff_ffff, 'file')];
  assert.deepEqual(await attack(forged), [-EBADF, -EBADF, -EBADF]);
  assert.deepEqual(await attack([open(1, 'file', 1), open(1, 'file', 0o1000), open(1, 'file', 1 << 30)]), [
    -EACCES,
    -EACCES,
    -EINVAL,
  ]);
});

test('handles, waiting calls and their deadlines are bounded for each channel', () => {
  const answers: number[] = [];
  const sink = { complete: (_id: number, result: number) => answers.push(result) };
  const executor = new Executor({}, NOTHING_GRANTED, 0, 0, sink);
  let closed = 0;
  const resource = { type: 0, descriptor: -1, close: () => closed++ };
  for (let handle = 0; handle < HANDLES_MAX; handle++) assert.equal(executor.open(resource), handle);
  assert.equal(executor.open(resource), -EMFILE);
  assert.equal(closed, 1);

  const withdrawn: number[] = [];
  const pending = (id: number): Pending => ({ id, withdraw: () => withdrawn.push(id) });
  for (let id = 1; id <= CALLS_IN_FLIGHT_MAX; id++) executor.wait(pending(id), 1e9);
  assert.deepEqual(answers, []);
  executor.wait(pending(CALLS_IN_FLIGHT_MAX + 1), 1e9);
  assert.deepEqual([answers, withdrawn], [[-EAGAIN], [CALLS_IN_FLIGHT_MAX + 1]]);
  assert.equal(executor.pendingCount, CALLS_IN_FLIGHT_MAX);
  executor.cancel(1, EBADF);
  executor.wait(pending(2), 1e9);
  assert.deepEqual(answers, [-EAGAIN, -EBADF, -EAGAIN]);
  closeDescriptor(executor.epoll);
});

test('an enclave that takes no answers is not served on and on', LIVE, async () => {
  const bytes = boundaryBytes(1);
  const memory = createSealedMemory('flood', bytes);
  const boundary = mapShared(memory, bytes);
  const bells = [createEvent(), createEvent()] as const;
  const worker = new LoneWorker(boundary.buffer, ...bells, NOTHING_GRANTED);
  const words = new Int32Array(boundary.buffer);
  const layout = channelLayout(0);
  const size = RING_ENTRIES;
  const place = { words, size };
  const writer = new SubmissionWriter({
    ...place,
    entries: layout.submissionRing,
    taken: layout.submissionsTaken,
  });
  const reader = new CompletionReader({
    ...place,
    entries: layout.completionRing,
    taken: layout.completionsTaken,
  });
  try {
    let written = 0;
    for (let quiet = 0; quiet < 200; quiet++) {
      while (writer.hasRoom()) {
        writer.write(CallKind.nothing, ++written, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1);
        quiet = 0;
      }
      signalEvent(bells[0]);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    assert.ok(written <= 4 * RING_ENTRIES, `${written} were taken`);
    let taken = 0;
    for (; taken < written; await new Promise((resolve) => setImmediate(resolve))) {
      while (reader.read()) assert.equal(reader.id, ++taken);
      reader.acknowledge();
    }
  } finally {
    await worker.end();
    for (const descriptor of [memory, ...bells]) closeDescriptor(descriptor);
  }
});

test(
  'calls that are made and cancelled without end do not gather while disks are waited for',
  LIVE,
  async () => {
    const executor = new Executor({}, NOTHING_GRANTED, 0, 0, { complete: () => {} });
    const pool = new Pool(executor);
    const folder = openSync(directory, 'r');
    const path = new TextEncoder().encode('not-there');
    const payload = new Uint8Array(4096);
    payload.set(path);
    const request = new Request();
    const open = { operation: Blocking.open, descriptor: folder, first: path.length };
    for (let id = 1; id <= 3 * CALLS_IN_FLIGHT_MAX; id++) {
      Object.assign(request, { id, payload: privateAddress(payload), length: path.length });
      pool.start(executor, new BlockingCall(executor, request, open));
      executor.cancel(id, EBADF);
    }
    assert.ok(pool.waitingCount <= 2 * CALLS_IN_FLIGHT_MAX, String(pool.waitingCount));
    await pool.close(executor);
    closeSync(folder);
    closeDescriptor(executor.epoll);
  },
);
