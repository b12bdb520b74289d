import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import {
  LaunchKind,
  launchRing,
  OutcomeStatus,
  outcomeRing,
  ServiceNumber,
} from '../../src/boundary/launch.ts';
import { COMPLETION_BYTES, channelLayout, SUBMISSION_BYTES, ThreadState } from '../../src/boundary/layout.ts';
import { SubmissionWord } from '../../src/boundary/ring.ts';
import {
  type Enclave,
  type Image,
  type PinnedBuffer,
  type PrivateBuffer,
  SharedWords,
  TransferSealer,
} from '../../src/index.ts';
import { SEALED_BLOCK_BYTES } from '../../src/limits.ts';
import { until } from '../support/conditions.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import type * as program from './copies.program.ts';
import { FRESH_ID, submit } from './lying-clock.ts';

type Program = typeof program;
type Words = Int32Array<SharedArrayBuffer>;

const MIB = 1_048_576;
/** A copy in more parts than the engine is given at once, so that it does not end before the host's next turn. */
const LONG = new Array(32).fill({ bufferOffset: 0, hostOffset: 0, rowBytes: MIB });
/** The copy engine's channel lies behind those of the program's threads. */
const engine = channelLayout(1);

let image: Image;
before(async () => {
  image = await buildProgram('test/host/copies.program', { privateMemoryBytes: 4 * MIB });
});

interface Scene {
  readonly enclave: Enclave<Program>;
  readonly buffer: PrivateBuffer;
  readonly memory: PinnedBuffer;
  readonly words: Words;
}

/** A buffer that has been copied to once, and the whole boundary. */
function engineTest(name: string, run: (scene: Scene) => Promise<void>): void {
  test(name, () =>
    withEnclave<Program>(image, { pinnedBytes: 8 * MIB }, async (enclave) => {
      const buffer = await enclave.createBuffer(3 * MIB);
      const memory = enclave.pin(3 * MIB);
      await enclave.createStream().copyToEnclave(buffer, memory);
      await run({ enclave, buffer, memory, words: new Int32Array(memory.bytes.buffer) });
    }),
  );
}

/** Says that the engine is dead, as the enclave does when that thread ends: reason, length, state. */
function declareDead(words: Words, reason: string): void {
  const text = new TextEncoder().encode(`\n${reason}`);
  new Uint8Array(words.buffer).set(text, engine.failureText);
  Atomics.store(words, engine.failureBytes >> 2, text.length);
  Atomics.store(words, engine.threadState >> 2, ThreadState.dead);
}

describe('the death of the copy engine', () => {
  engineTest('fails the copies under way and later ones, and nothing else', async (scene) => {
    const { enclave, buffer, memory, words } = scene;
    const DEAD = { code: 'SGXIO_THREAD_FAILED', message: /the copy engine .* of a test/ };
    const held = enclave.launch('countUntilStopped', { offset: memory.offset, bytes: 256 }, 1e9);
    const [pinned, staged, other] = [enclave.createStream(), enclave.createStream(), enclave.createStream()];
    const copies = [
      pinned.copyToEnclave(buffer, memory, { pieces: LONG }),
      staged.copyToEnclave(buffer, new Uint8Array(3 * MIB)),
      staged.launch('count'),
    ] as const;
    declareDead(words, 'of a test');
    await assert.rejects(copies[0], DEAD);
    await assert.rejects(copies[1], DEAD);
    await assert.rejects(copies[2], { code: 'SGXIO_STREAM_FAILED' });
    await assert.rejects(pinned.synchronize(), DEAD);
    await assert.rejects(staged.synchronize(), DEAD);
    await assert.rejects(pinned.copyFromEnclave(buffer, new Uint8Array(8)), DEAD);
    await assert.rejects(enclave.createBuffer(64), DEAD);
    await assert.rejects(buffer.free(), DEAD);
    assert.equal(await other.launch('count'), 1);
    await other.synchronize();
    new SharedWords(memory.bytes, [1]).store(1, 1);
    assert.ok((await held) > 0);
    assert.equal(enclave.pendingLaunches, 0);
    assert.deepEqual(await enclave.drain(), { code: 0, signal: null });
  });
});

describe('the copy engine, when the host lies to it,', () => {
  const VIOLATIONS = {
    'a kind that there is not': { id: FRESH_ID, kind: 77 },
    'a function of the program': { id: FRESH_ID, kind: LaunchKind.run, handle: 0 },
    'a service that it does not have': {
      id: FRESH_ID,
      kind: LaunchKind.service,
      handle: ServiceNumber.balloon,
    },
    'a copy that was answered again': {},
  };
  for (const [what, changes] of Object.entries(VIOLATIONS)) {
    engineTest(`ends the enclave: ${what}`, async ({ enclave, buffer, memory, words }) => {
      const VIOLATION = { code: 'SGXIO_HOST_VIOLATION' };
      const held = enclave.launch('countUntilStopped', { offset: memory.offset, bytes: 256 }, 1e9);
      enclave.createStream().copyToEnclave(buffer, memory);
      submit(words, changes, engine);
      await assert.rejects(held, VIOLATION);
      assert.deepEqual(await enclave.exited, { code: 1, signal: null });
      await assert.rejects(enclave.createStream().copyToEnclave(buffer, memory), VIOLATION);
    });
  }

  const REFUSED = {
    'of another buffer': { handle: 0x7fff_ffff },
    'behind the end of the buffer': { a1: 3 * MIB },
    'behind the end of pinned memory': { a2: 8 * MIB },
    'at the largest offsets': { a1: -1, a2: -1, a3: -1 },
    'of more than a part': { a1: 0, a3: MIB + 1 },
  };
  for (const [what, changes] of Object.entries(REFUSED)) {
    for (const kind of [LaunchKind.copyIn, LaunchKind.copyOut]) {
      engineTest(`refuses a copy ${what}, of kind ${kind}`, async ({ enclave, buffer, memory, words }) => {
        enclave.createStream().copyToEnclave(buffer, memory);
        submit(words, { ...changes, id: FRESH_ID, kind }, engine);
        await until(() => outcomeOf(words, FRESH_ID) !== undefined);
        assert.equal(outcomeOf(words, FRESH_ID), OutcomeStatus.threw);
        assert.equal(Atomics.load(words, engine.threadState >> 2), ThreadState.serving);
      });
    }
  }
});

describe('a host that says of its own copy that it is done', () => {
  const MISUSE = { innerCode: 'SGXIO_MEMORY_MISUSE' };

  engineTest('does not make the program see a part of one', async ({ enclave, words }) => {
    const BYTES = MIB / 2;
    const hashOf = (value: number): string =>
      createHash('sha256').update(new Uint8Array(BYTES).fill(value)).digest('hex');
    const buffer = await enclave.createBuffer(BYTES);
    const memory = enclave.pin(BYTES);
    // Short rows, so that the engine is still at it when the program looks.
    const pieces = [{ bufferOffset: 0, hostOffset: 0, rowBytes: 64, rows: BYTES / 64 }];
    const stream = enclave.createStream();
    for (let value = 1; value <= 60; value++) {
      memory.bytes.fill(value);
      await claimDone(words, () => stream.copyToEnclave(buffer, memory, { pieces }));
      const seen = await enclave
        .launch('hash', buffer.handle)
        .catch((error: { innerCode: string }) => error.innerCode);
      assert.ok([hashOf(value - 1), hashOf(value), MISUSE.innerCode].includes(seen), seen);
      await engineSleeps(words);
      await stream.copyToEnclave(buffer, memory);
      assert.equal(await enclave.launch('hash', buffer.handle), hashOf(value));
    }
  });

  engineTest('does not make a sealed one whole that was refused', async ({ enclave, words }) => {
    const key = new Uint8Array(randomBytes(32));
    const bytes = 2 * SEALED_BLOCK_BYTES;
    const handle = await enclave.launch('create', { bytes, host: 'read-write', key });
    const buffer = enclave.adoptBuffer(handle, bytes, { sealed: true });
    const sealed = new TransferSealer(key).seal(randomBytes(bytes));
    const second = enclave.pin(sealed.length / 2);
    second.bytes.set(sealed.subarray(second.bytes.length));
    const stream = enclave.createStream();
    await stream.copyToEnclave(buffer, sealed.subarray(0, second.bytes.length));
    second.bytes[100]! ^= 1;
    await claimDone(words, () => stream.copyToEnclave(buffer, second, { bufferOffset: SEALED_BLOCK_BYTES }));
    await assert.rejects(enclave.launch('hash', handle), MISUSE);
    await engineSleeps(words);
    const back = enclave.createStream();
    await assert.rejects(back.copyFromEnclave(buffer, new Uint8Array(sealed.length)), MISUSE);
    second.bytes[100]! ^= 1;
    await stream.copyToEnclave(buffer, second, { bufferOffset: SEALED_BLOCK_BYTES });
    await enclave.launch('hash', handle);
  });
});

/** Makes a copy of one part and writes in the enclave's place, whether or not it has, that it is done. */
function claimDone(words: Words, copy: () => Promise<void>): Promise<void> {
  const outcomes = outcomeRing(words, engine);
  const launches = launchRing(words, engine);
  const outcome = nextEntry(words, outcomes, COMPLETION_BYTES);
  const launch = nextEntry(words, launches, SUBMISSION_BYTES);
  const copying = copy();
  words.set([words[launch.word + SubmissionWord.id]!, OutcomeStatus.returned, 0], outcome.word + 1);
  Atomics.store(words, outcome.word, outcome.sequence);
  return copying;
}

/** Where the next entry of a ring that never was full goes. */
function nextEntry(
  words: Words,
  { entries }: { readonly entries: number },
  bytes: number,
): { word: number; sequence: number } {
  let position = 0;
  while (words[(entries + position * bytes) >> 2] === position + 1) position++;
  return { word: (entries + position * bytes) >> 2, sequence: position + 1 };
}

/** Waits until the engine sleeps having done all that it was asked: it may still lie in the sleep before. */
async function engineSleeps(words: Words): Promise<void> {
  const asked = nextEntry(words, launchRing(words, engine), SUBMISSION_BYTES).sequence - 1;
  await until(
    () =>
      Atomics.load(words, engine.launchesTaken >> 2) === asked &&
      Atomics.load(words, engine.launchesParked >> 2) !== 0,
  );
}

/** How the enclave answered a launch of the engine's, whoever made it. */
function outcomeOf(words: Words, id: number): number | undefined {
  const { entries, size } = outcomeRing(words, engine);
  for (let position = 0; position < size; position++) {
    const entry = (entries + position * COMPLETION_BYTES) >> 2;
    if (Atomics.load(words, entry) !== 0 && words[entry + 1] === id) return words[entry + 2];
  }
  return undefined;
}
