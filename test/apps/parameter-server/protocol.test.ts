import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Cipher, NodeCipher } from '../../../apps/parameter-server/cipher.ts';
import {
  CONNECTION_BUFFER_BYTES,
  FrameReader,
  FrameWriter,
  frameBytes,
  HEADER_BYTES,
  ITEM_BYTES,
  Kind,
  MAXIMUM_FRAME_BYTES,
  MAXIMUM_ITEMS,
} from '../../../apps/parameter-server/protocol.ts';

const KEY: Uint8Array<ArrayBuffer> = new Uint8Array(16).fill(7);

interface Frame {
  readonly kind: number;
  readonly body: Uint8Array;
}

const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc
    .integer({ min: 1, max: 40 })
    .chain((items) => fc.uint8Array({ minLength: items * ITEM_BYTES, maxLength: items * ITEM_BYTES }))
    .map((body) => ({ kind: Kind.update, body })),
  fc.constant({ kind: Kind.checksum, body: new Uint8Array(0) }),
  fc.constant({ kind: Kind.stop, body: new Uint8Array(0) }),
  fc.constant({ kind: Kind.update, body: new Uint8Array(MAXIMUM_ITEMS * ITEM_BYTES).fill(3) }),
);

function write(frames: readonly Frame[], cipher: Cipher = new NodeCipher(KEY)): Uint8Array<ArrayBuffer> {
  const bytes = frames.reduce((sum, { body }) => sum + frameBytes(body.length), 0);
  const writer = new FrameWriter(new Uint8Array(bytes));
  for (const { kind, body } of frames) {
    writer.bytes.set(body, writer.body);
    writer.seal(cipher, kind, body.length);
  }
  assert.equal(writer.end, bytes);
  return writer.bytes;
}

/** Feeds `wire` in pieces of the given sizes (the last one again and again) and returns the frames that came. */
function readAll(
  wire: Uint8Array,
  sizes: readonly number[],
  capacity: number = CONNECTION_BUFFER_BYTES,
): Frame[] {
  const reader = new FrameReader(new Uint8Array(capacity), 'client');
  const cipher = new NodeCipher(KEY);
  const frames: Frame[] = [];
  let offset = 0;
  for (let piece = 0; offset < wire.length; piece += 1) {
    const size = Math.min(reader.room(), sizes[Math.min(piece, sizes.length - 1)]!, wire.length - offset);
    assert.ok(size > 0, 'a reader always has room for more');
    reader.bytes.set(wire.subarray(offset, offset + size), reader.end);
    reader.received(size);
    offset += size;
    while (reader.next(cipher)) {
      frames.push({ kind: reader.kind, body: reader.bytes.slice(reader.body, reader.body + reader.length) });
    }
  }
  return frames;
}

describe('frames', () => {
  test('come out as they went in, wherever the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: MAXIMUM_FRAME_BYTES, max: MAXIMUM_FRAME_BYTES * 2 }),
        (frames, sizes, capacity) => {
          const received = readAll(write(frames), sizes, capacity);
          assert.deepEqual(
            received.map(({ kind, body }) => [kind, Buffer.from(body).toString('hex')]),
            frames.map(({ kind, body }) => [kind, Buffer.from(body).toString('hex')]),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  test('are sealed as AES-128-GCM under (kind, sequence) seals', () => {
    const wire = write([
      { kind: Kind.checksum, body: new Uint8Array(0) },
      { kind: Kind.update, body: new Uint8Array(ITEM_BYTES).fill(9) },
    ]);
    const second = wire.subarray(frameBytes(0));
    const context = createCipheriv('aes-128-gcm', KEY, Buffer.from('010000000100000000000000', 'hex'));
    const sealed = Buffer.concat([context.update(new Uint8Array(ITEM_BYTES).fill(9)), context.final()]);
    assert.equal(
      Buffer.from(second).toString('hex'),
      `10000000010000000100000000000000${sealed.toString('hex')}${context.getAuthTag().toString('hex')}`,
    );
  });

  test('with any one bit changed are refused, and nothing of them comes out', () => {
    const wire = write([{ kind: Kind.update, body: randomBytes(2 * ITEM_BYTES) }]);
    for (let bit = 0; bit < wire.length * 8; bit += 1) {
      const changed = wire.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      try {
        assert.deepEqual(readAll(changed, [changed.length]), [], `bit ${bit} was not noticed`);
        assert.ok(bit < 32, 'only a longer length makes a reader wait');
      } catch (error) {
        assert.equal((error as Error).name, 'ProtocolError', `bit ${bit}: ${error}`);
      }
    }
  });

  test('in any order but that of their sequence numbers are refused', () => {
    const frames = [1, 2, 3].map((fill) => ({
      kind: Kind.update,
      body: new Uint8Array(ITEM_BYTES).fill(fill),
    }));
    const wire = write(frames);
    const size = frameBytes(ITEM_BYTES);
    for (const order of [[1], [0, 0], [0, 2], [0, 1, 1], [0, 1, 0]]) {
      const replayed = Buffer.concat(order.map((index) => wire.subarray(index * size, (index + 1) * size)));
      assert.throws(() => readAll(replayed, [replayed.length]), { code: 'FRAME_OUT_OF_ORDER' });
    }
  });

  for (const [name, header, code] of [
    ['a length over the largest', [MAXIMUM_ITEMS * ITEM_BYTES + 1, Kind.update, 0, 0], 'FRAME_TOO_LARGE'],
    ['a length of 4 GiB', [0xffff_ffff, Kind.update, 0, 0], 'FRAME_TOO_LARGE'],
    ['an update without items', [0, Kind.update, 0, 0], 'FRAME_INVALID'],
    ['half an item', [ITEM_BYTES + 8, Kind.update, 0, 0], 'FRAME_INVALID'],
    ['a checksum request with a body', [16, Kind.checksum, 0, 0], 'FRAME_INVALID'],
    ['a stop with a body', [16, Kind.stop, 0, 0], 'FRAME_INVALID'],
    ['an unknown kind', [16, 77, 0, 0], 'FRAME_INVALID'],
    ['a kind that only servers send', [8, Kind.reply, 0, 0], 'FRAME_INVALID'],
    ['a sequence number with its high word set', [16, Kind.update, 0, 1], 'FRAME_OUT_OF_ORDER'],
  ] as const) {
    test(`refuses ${name} before its body came`, () => {
      const wire = new Uint8Array(new Uint32Array(header).buffer);
      assert.equal(wire.length, HEADER_BYTES);
      assert.throws(() => readAll(wire, [wire.length]), { name: 'ProtocolError', code });
    });
  }

  test('random bytes end in a ProtocolError or in waiting for more, never in anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 64 }), (wire, size) => {
        try {
          assert.deepEqual(readAll(wire, [size]), []);
        } catch (error) {
          assert.equal((error as Error).name, 'ProtocolError');
        }
      }),
    );
  });

  test('never share a nonce under one key, in both directions', () => {
    const seen = new Set<string>();
    const recorder: Cipher = {
      seal(buffer, offset) {
        const nonce = Buffer.from(buffer.subarray(offset - 12, offset)).toString('hex');
        assert.ok(!seen.has(nonce), `nonce ${nonce} came twice`);
        seen.add(nonce);
      },
      open: () => false,
    };
    const client = new FrameWriter(new Uint8Array(CONNECTION_BUFFER_BYTES));
    const server = new FrameWriter(new Uint8Array(CONNECTION_BUFFER_BYTES));
    for (let round = 0; round < 500; round += 1) {
      client.seal(recorder, round % 2 === 0 ? Kind.update : Kind.checksum, round % 2 === 0 ? ITEM_BYTES : 0);
      server.seal(recorder, round % 2 === 0 ? Kind.reply : Kind.checksumReply, 8);
      client.sent(client.end);
      server.sent(server.end);
    }
    assert.equal(seen.size, 1000);
  });

  test('that do not fit are not written', () => {
    const writer = new FrameWriter(new Uint8Array(frameBytes(8) + 5));
    writer.seal(new NodeCipher(KEY), Kind.reply, 8);
    assert.equal(writer.fits(8), false);
    assert.throws(() => writer.seal(new NodeCipher(KEY), Kind.reply, 8), RangeError);
    writer.sent(10);
    writer.sent(writer.end - 10);
    assert.ok(writer.fits(8));
  });
});
