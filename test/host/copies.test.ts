import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type Enclave,
  type EnclaveOptions,
  type Image,
  type PrivateBuffer,
  SharedWords,
  sharedWordsBytes,
  TransferSealer,
} from '../../src/index.ts';
import { COPY_CHUNK_BYTES, SEALED_BLOCK_BYTES } from '../../src/limits.ts';
import { until } from '../support/conditions.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import type * as program from './copies.program.ts';

type Program = typeof program;

const MIB = 1_048_576;
const MISUSE = { code: 'SGXIO_MEMORY_MISUSE' };
const INSIDE_MISUSE = { innerCode: 'SGXIO_MEMORY_MISUSE' };
const TAMPERED = { innerCode: 'SGXIO_COPY_TAMPERED' };

let image: Image;
before(async () => {
  image = await buildProgram('test/host/copies.program', { privateMemoryBytes: 4 * MIB });
});

function copyTest(
  name: string,
  run: (enclave: Enclave<Program>) => Promise<void>,
  options: EnclaveOptions = {},
): void {
  test(name, () => withEnclave<Program>(image, { pinnedBytes: 8 * MIB, ...options }, run));
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Copies there and back through a stream, and returns what came back. */
async function roundTrip(
  enclave: Enclave<Program>,
  buffer: PrivateBuffer,
  source: Uint8Array,
): Promise<Uint8Array> {
  const stream = enclave.createStream();
  const target = new Uint8Array(source.length);
  stream.copyToEnclave(buffer, source);
  stream.copyFromEnclave(buffer, target);
  await stream.synchronize();
  return target;
}

describe('a copy', () => {
  for (const strategy of ['exitless', 'exit', 'direct'] as const) {
    copyTest(
      `arrives whole, of whatever length, under ${strategy}`,
      async (enclave) => {
        await using buffer = await enclave.createBuffer(3 * MIB);
        for (const length of [1, 63, 4096, COPY_CHUNK_BYTES - 1, COPY_CHUNK_BYTES + 1, 3 * MIB]) {
          const source = randomBytes(length);
          assert.deepEqual(hashOf(await roundTrip(enclave, buffer, source)), hashOf(source));
        }
      },
      { strategy },
    );
  }

  copyTest('of pinned memory needs no other on its way', async (enclave) => {
    await using buffer = await enclave.createBuffer(2 * MIB);
    const [source, target] = [enclave.pin(2 * MIB), enclave.pin(2 * MIB)];
    source.bytes.set(randomBytes(2 * MIB));
    const stream = enclave.createStream();
    const progress: number[] = [];
    stream.copyToEnclave(buffer, source, { onProgress: (copied) => progress.push(copied) });
    const inside = stream.launch('hash', buffer.handle);
    stream.copyFromEnclave(buffer, target);
    await stream.synchronize();
    assert.equal(await inside, hashOf(source.bytes));
    assert.deepEqual(Buffer.from(target.bytes), Buffer.from(source.bytes));
    assert.deepEqual(progress, [MIB, 2 * MIB]);
    source.free();
    target.free();
    assert.equal(enclave.pinnedBuffers, 0);
    assert.throws(() => source.free(), MISUSE);
    stream.copyToEnclave(buffer, source);
    await assert.rejects(stream.synchronize(), MISUSE);
  });

  copyTest('may be strided and scattered: as a loop over its bytes would do it', async (enclave) => {
    const BYTES = 4096;
    await using buffer = await enclave.createBuffer(BYTES);
    const [source, target] = [enclave.pin(BYTES), enclave.pin(BYTES)];
    source.bytes.set(randomBytes(BYTES));
    const stream = enclave.createStream();
    const piece = fc.record({
      bufferOffset: fc.nat({ max: 1000 }),
      hostOffset: fc.nat({ max: 1000 }),
      rowBytes: fc.nat({ max: 60 }),
      rows: fc.nat({ max: 20 }),
      bufferStride: fc.nat({ max: 100 }),
      hostStride: fc.nat({ max: 100 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        await enclave.launch('fill', buffer.handle, 0);
        const expected = new Uint8Array(BYTES);
        for (const { bufferOffset, hostOffset, rowBytes, rows, bufferStride, hostStride } of pieces) {
          for (let row = 0; row < rows; row++) {
            const from = hostOffset + row * hostStride;
            expected.set(source.bytes.subarray(from, from + rowBytes), bufferOffset + row * bufferStride);
          }
        }
        stream.copyToEnclave(buffer, source, { pieces });
        stream.copyFromEnclave(buffer, target);
        await stream.synchronize();
        assert.deepEqual(Buffer.from(target.bytes), Buffer.from(expected));
      }),
      { numRuns: 50 },
    );
  });

  copyTest('is cut where one row is longer than a chunk', async (enclave) => {
    await using buffer = await enclave.createBuffer(3 * MIB);
    const source = enclave.pin(3 * MIB);
    source.bytes.set(randomBytes(3 * MIB));
    const stream = enclave.createStream();
    const rowBytes = MIB + 5;
    stream.copyToEnclave(buffer, source, {
      pieces: [
        {
          bufferOffset: 0,
          hostOffset: 0,
          rowBytes,
          rows: 2,
          bufferStride: rowBytes + 7,
          hostStride: rowBytes + 7,
        },
      ],
    });
    await stream.synchronize();
    const expected = new Uint8Array(3 * MIB);
    for (const start of [0, rowBytes + 7]) {
      expected.set(source.bytes.subarray(start, start + rowBytes), start);
    }
    assert.equal(await enclave.launch('hash', buffer.handle), hashOf(expected));
  });

  copyTest('is given up at any point, and the next one arrives whole', async (enclave) => {
    await using buffer = await enclave.createBuffer(3 * MIB);
    const source = randomBytes(3 * MIB);
    for (let stop = 0; stop < 3; stop++) {
      const stream = enclave.createStream();
      const controller = new AbortController();
      if (stop === 0) controller.abort();
      const copy = stream.copyToEnclave(buffer, source, {
        signal: controller.signal,
        onProgress: (copied) => {
          if (copied >= stop * MIB) controller.abort();
        },
      });
      const outcome = await copy.then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
      assert.equal(outcome, stop === 2 ? 'done' : 'SGXIO_ABORTED');
      assert.deepEqual(hashOf(await roundTrip(enclave, buffer, source)), hashOf(source));
    }
    const cancelled = enclave.createStream();
    const copy = cancelled.copyToEnclave(buffer, source);
    cancelled.cancel();
    await assert.rejects(copy, { code: 'SGXIO_ABORTED' });
    assert.deepEqual(hashOf(await roundTrip(enclave, buffer, source)), hashOf(source));
  });

  copyTest('overlaps others, and the computation', async (enclave) => {
    const all = Array.from({ length: 6 }, async (_, index) => {
      const buffer = await enclave.createBuffer(200_000 + index);
      const source = randomBytes(200_000 + index);
      const stream = enclave.createStream();
      const target = new Uint8Array(source.length);
      stream.copyToEnclave(buffer, source);
      stream.launch('increment', buffer.handle);
      stream.copyFromEnclave(buffer, target);
      await stream.synchronize();
      assert.deepEqual(Buffer.from(target), Buffer.from(source.map((byte) => byte + 1)));
      await buffer.free();
    });
    await Promise.all(all);
    assert.equal(await enclave.launch('count'), 0);
  });
});

describe('a buffer', () => {
  copyTest('that was freed, or is of another enclave, is not copied to', async (enclave) => {
    const buffer = await enclave.createBuffer(MIB);
    await buffer.free();
    await assert.rejects(buffer.free(), INSIDE_MISUSE);
    const next = await enclave.createBuffer(MIB);
    const stream = enclave.createStream();
    await assert.rejects(stream.copyToEnclave(buffer, new Uint8Array(8)), INSIDE_MISUSE);
    await assert.rejects(stream.synchronize(), INSIDE_MISUSE);
    await assert.rejects(enclave.launch('hash', buffer.handle), INSIDE_MISUSE);
    assert.ok(await enclave.launch('isZero', next.handle));
    await withEnclave<Program>(image, { pinnedBytes: 8 * MIB }, async (other) => {
      const foreign = await other.createBuffer(64);
      await assert.rejects(stream.copyToEnclave(foreign, new Uint8Array(8)), MISUSE);
      await assert.rejects(stream.synchronize(), MISUSE);
      stream.copyToEnclave(next, other.pin(64));
      await assert.rejects(stream.synchronize(), MISUSE);
    });
  });

  copyTest('is wiped when it is freed, and its memory is given out again', async (enclave) => {
    for (let round = 0; round < 20; round++) {
      const buffers = [await enclave.createBuffer(MIB), await enclave.createBuffer(2 * MIB - 100)];
      for (const buffer of buffers) {
        assert.ok(await enclave.launch('isZero', buffer.handle));
        await enclave.launch('fill', buffer.handle, round);
      }
      assert.equal(await enclave.launch('count'), 2);
      for (const buffer of round % 2 === 0 ? buffers : buffers.reverse()) await buffer.free();
    }
    await assert.rejects(enclave.createBuffer(5 * MIB), { innerCode: 'SGXIO_MEMORY_EXHAUSTED' });
    await assert.rejects(enclave.createBuffer(0), { innerCode: 'SGXIO_INVALID_ARGUMENT' });
    assert.equal(await enclave.launch('count'), 0);
  });

  copyTest('ends where it ends', async (enclave) => {
    await using buffer = await enclave.createBuffer(100);
    const pinned = enclave.pin(4096);
    for (const bad of [
      { bufferOffset: 1, hostOffset: 0, rowBytes: 100 },
      { bufferOffset: 0, hostOffset: 0, rowBytes: 10, rows: 11, bufferStride: 10 },
      { bufferOffset: 2 ** 52, hostOffset: 0, rowBytes: 10 },
      { bufferOffset: 0, hostOffset: 0, rowBytes: 1, rows: 2, bufferStride: 2 ** 52 },
      { bufferOffset: 0, hostOffset: 4090, rowBytes: 10 },
      { bufferOffset: -1, hostOffset: 0, rowBytes: 10 },
      { bufferOffset: 0.5, hostOffset: 0, rowBytes: 10 },
    ]) {
      const stream = enclave.createStream();
      await assert.rejects(stream.copyToEnclave(buffer, pinned, { pieces: [bad] }), /byte|whole number/);
    }
    assert.ok(await enclave.launch('isZero', buffer.handle));
  });

  copyTest('of the program is the host’s to copy as far as it was granted', async (enclave) => {
    const may = {
      none: [false, false],
      write: [true, false],
      read: [false, true],
      'read-write': [true, true],
    };
    for (const [host, [write, read]] of Object.entries(may)) {
      const handle = await enclave.launch('create', { bytes: 64, host: host as 'none' });
      const buffer = enclave.adoptBuffer(handle, 64);
      const attempts = [
        enclave.createStream().copyToEnclave(buffer, new Uint8Array(64)),
        enclave.createStream().copyFromEnclave(buffer, new Uint8Array(64)),
      ];
      const outcomes = await Promise.allSettled(attempts);
      assert.deepEqual(
        outcomes.map(({ status }) => status === 'fulfilled'),
        [write, read],
        host,
      );
      await assert.rejects(buffer.free(), { innerCode: 'SGXIO_NOT_GRANTED' });
      await enclave.launch('free', handle);
    }
    assert.equal(await enclave.launch('count'), 0);
  });

  copyTest('is the program’s alone while it uses it, whatever the host says is done', async (enclave) => {
    await using buffer = await enclave.createBuffer(64);
    const held = enclave.launch('hold', buffer.handle);
    await enclave.launch('count');
    const stream = enclave.createStream();
    await assert.rejects(stream.copyToEnclave(buffer, new Uint8Array(64).fill(9)), INSIDE_MISUSE);
    await assert.rejects(buffer.free(), INSIDE_MISUSE);
    await enclave.launch('letGo');
    assert.equal(await held, 0);
  });

  copyTest(
    'is not the program’s while a part is copied: it sees each part whole, or is told',
    async (enclave) => {
      await using buffer = await enclave.createBuffer(3 * MIB);
      const pinned = enclave.pin(3 * MIB);
      for (let value = 1; value <= 10; value++) {
        // Parts are under way at the same time, so any of them may be the first to be there.
        const states = [0, 1, 2, 3, 4, 5, 6, 7].map((arrived) => {
          const state = new Uint8Array(3 * MIB).fill(value - 1);
          for (let part = 0; part < 3; part++) {
            if ((arrived & (1 << part)) !== 0) state.fill(value, part * MIB, (part + 1) * MIB);
          }
          return hashOf(state);
        });
        pinned.bytes.fill(value);
        const stream = enclave.createStream();
        stream.copyToEnclave(buffer, pinned);
        do {
          const seen = await enclave
            .launch('hash', buffer.handle)
            .catch((error: { innerCode: string }) => error);
          if (typeof seen === 'string') assert.ok(states.includes(seen));
          else assert.equal(seen.innerCode, 'SGXIO_MEMORY_MISUSE');
        } while (!stream.query());
        // A part that met the program at work was refused: once more, undisturbed.
        await stream.synchronize().catch((error) => assert.equal(error.innerCode, 'SGXIO_MEMORY_MISUSE'));
        await enclave.createStream().copyToEnclave(buffer, pinned);
      }
    },
  );

  test('needs a copy engine', async () => {
    await withEnclave<Program>(image, {}, async (enclave) => {
      await assert.rejects(enclave.createBuffer(1), { code: 'SGXIO_INVALID_ARGUMENT' });
      assert.throws(() => enclave.pin(1), { code: 'SGXIO_INVALID_ARGUMENT' });
    });
  });
});

describe('a sealed copy', () => {
  const BYTES = 3 * SEALED_BLOCK_BYTES - 100;

  async function sealedBuffer(
    enclave: Enclave<Program>,
  ): Promise<{ buffer: PrivateBuffer; owner: TransferSealer }> {
    const key = new Uint8Array(randomBytes(32));
    const handle = await enclave.launch('create', { bytes: BYTES, host: 'read-write', key });
    return { buffer: enclave.adoptBuffer(handle, BYTES, { sealed: true }), owner: new TransferSealer(key) };
  }

  copyTest('is read by the owner of the key alone, and arrives whole', async (enclave) => {
    const { buffer, owner } = await sealedBuffer(enclave);
    for (let round = 0; round < 3; round++) {
      const data = randomBytes(BYTES);
      const sealed = owner.seal(data);
      const back = new Uint8Array(sealed.length);
      const stream = enclave.createStream();
      stream.copyToEnclave(buffer, sealed);
      assert.equal(await stream.launch('hash', buffer.handle), hashOf(data));
      stream.copyFromEnclave(buffer, back);
      await stream.synchronize();
      assert.ok(!Buffer.from(sealed).includes(data.subarray(0, 32)));
      assert.ok(!Buffer.from(back).includes(data.subarray(0, 32)));
      assert.deepEqual(Buffer.from(owner.open(back)), data);
      assert.throws(() => owner.open(back), { code: 'SGXIO_COPY_TAMPERED' });
    }
  });

  const block = SEALED_BLOCK_BYTES + 32;
  const lies: Readonly<Record<string, (sealed: Uint8Array) => Uint8Array>> = {
    'a bit of the text': (sealed) => sealed.with(100, sealed[100]! ^ 1),
    'a bit of the tag': (sealed) => sealed.with(block - 1, sealed[block - 1]! ^ 1),
    'the sequence': (sealed) => sealed.with(0, 2),
    'what is last': (sealed) => sealed.with(8, 1),
    'the order of blocks': (sealed) =>
      new Uint8Array(
        Buffer.concat([
          sealed.subarray(block, 2 * block),
          sealed.subarray(0, block),
          sealed.subarray(2 * block),
        ]),
      ),
  };
  for (const [what, lie] of Object.entries(lies)) {
    copyTest(`in which the host changes ${what} is refused`, async (enclave) => {
      const { buffer, owner } = await sealedBuffer(enclave);
      const sealed = owner.seal(randomBytes(BYTES));
      const stream = enclave.createStream();
      await assert.rejects(stream.copyToEnclave(buffer, lie(sealed)), TAMPERED);
      await assert.rejects(stream.synchronize(), TAMPERED);
      stream.copyToEnclave(buffer, sealed);
      await stream.synchronize();
    });
  }

  copyTest('that is repeated or cut short is refused', async (enclave) => {
    const { buffer, owner } = await sealedBuffer(enclave);
    const stream = enclave.createStream();
    const sealed = owner.seal(randomBytes(BYTES));
    await stream.copyToEnclave(buffer, sealed.subarray(0, block));
    await assert.rejects(enclave.launch('hash', buffer.handle), INSIDE_MISUSE);
    await stream.copyToEnclave(buffer, sealed.subarray(block), { bufferOffset: SEALED_BLOCK_BYTES });
    await enclave.launch('hash', buffer.handle);
    await assert.rejects(stream.copyToEnclave(buffer, sealed), TAMPERED);
    await assert.rejects(stream.synchronize(), TAMPERED);
    const back = new Uint8Array(sealed.length);
    await stream.copyFromEnclave(buffer, back);
    assert.throws(() => owner.open(back.subarray(0, block)), { code: 'SGXIO_COPY_TAMPERED' });
    assert.throws(() => owner.open(back.subarray(block)), { code: 'SGXIO_COPY_TAMPERED' });
    assert.equal(owner.open(back).length, BYTES);
  });
});

describe('pinned memory', () => {
  copyTest('is copied by the program itself, from where it is told, and nowhere else', async (enclave) => {
    const memory = enclave.pin(2 * MIB + 8);
    const source = randomBytes(memory.bytes.length);
    memory.bytes.set(source);
    const place = { offset: memory.offset, bytes: memory.bytes.length };
    await enclave.launch('incrementPinned', place);
    assert.deepEqual(Buffer.from(memory.bytes), Buffer.from(source.map((byte) => byte + 1)));
    for (const offset of [-4, 0.5, 2, 8 * MIB, 2 ** 53]) {
      await assert.rejects(enclave.launch('incrementPinned', { offset, bytes: 8 }), {
        innerCode: 'SGXIO_INVALID_ARGUMENT',
      });
    }
  });

  copyTest('holds words that both sides see at once, each with one writer', async (enclave) => {
    const memory = enclave.pin(sharedWordsBytes(2));
    const words = new SharedWords(memory.bytes, [1]);
    const place = { offset: memory.offset, bytes: memory.bytes.length };
    const counted = enclave.launch('countUntilStopped', place, 1e9);
    await until(() => words.load(0) > 10);
    words.store(1, 1);
    assert.equal(await counted, words.load(0));
    assert.equal(words.add(1, 4), 5);
    assert.throws(() => words.store(0, 1), { code: 'SGXIO_INVALID_ARGUMENT' });
    assert.throws(() => words.load(2), { code: 'SGXIO_INVALID_ARGUMENT' });
    await assert.rejects(enclave.launch('writeOther', place), { innerCode: 'SGXIO_INVALID_ARGUMENT' });
  });
});

copyTest('the end of the enclave fails the copies under way', async (enclave) => {
  const buffer = await enclave.createBuffer(3 * MIB);
  const streams = Array.from({ length: 5 }, () => enclave.createStream());
  for (const stream of streams) stream.copyToEnclave(buffer, new Uint8Array(3 * MIB));
  enclave.kill();
  for (const stream of streams) await assert.rejects(stream.synchronize(), { code: 'SGXIO_ENCLAVE_STOPPED' });
});
