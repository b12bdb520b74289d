import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { NodeCipher } from '../../../apps/parameter-server/cipher.ts';
import { prepareTrace, type Trace, verifyTrace } from '../../../apps/parameter-server/client.ts';
import {
  CONNECTION_BUFFER_BYTES,
  frameBytes,
  ITEM_BYTES,
  REPLY_BYTES,
} from '../../../apps/parameter-server/protocol.ts';
import { Session } from '../../../apps/parameter-server/session.ts';
import { ChainingTable } from '../../../apps/parameter-server/table.ts';

const WORK = { requests: 200, items: 3, seed: 7, keys: 100 };

/** Plays a trace into a session in pieces of `size` bytes, with room for `replies` answers, and returns them. */
function play(trace: Trace, size: number, replies: number): Uint8Array {
  const table = new ChainingTable(new ArrayBuffer(8192), 0, 8192);
  const output = new Uint8Array(replies * frameBytes(REPLY_BYTES));
  const opening = { cipher: new NodeCipher(trace.key) };
  const session = new Session(table, opening, new Uint8Array(CONNECTION_BUFFER_BYTES), output);
  const answers: Uint8Array[] = [];
  for (let offset = 0; offset < trace.bytes.length; ) {
    const count = Math.min(size, session.input.room(), trace.bytes.length - offset);
    session.input.bytes.set(trace.bytes.subarray(offset, offset + count), session.input.end);
    session.input.received(count);
    offset += count;
    for (let blocked = true; blocked; ) {
      blocked = session.process();
      answers.push(session.output.bytes.slice(session.output.begin, session.output.end));
      session.output.sent(session.output.end);
    }
  }
  assert.ok(session.stopped);
  assert.equal(session.requests, trace.work.requests);
  return Buffer.concat(answers);
}

describe('a trace', () => {
  test('is the same for the same arguments, and its offsets cut it into frames', () => {
    const trace = prepareTrace(WORK);
    assert.deepEqual(prepareTrace(WORK), trace);
    assert.notDeepEqual(prepareTrace({ ...WORK, seed: 8 }).bytes, trace.bytes);
    assert.equal(trace.offsets.length, WORK.requests + 3);
    for (let request = 0; request < WORK.requests; request += 1) {
      assert.equal(
        trace.offsets[request + 1]! - trace.offsets[request]!,
        frameBytes(WORK.items * ITEM_BYTES),
      );
    }
    assert.equal(trace.offsets.at(-1), trace.bytes.length);
  });

  test('is answered in full and verified, wherever it is cut and however small the output is', () => {
    const trace = prepareTrace(WORK);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 40 }), (size, replies) => {
        verifyTrace(trace, play(trace, size, replies));
      }),
      { numRuns: 20 },
    );
  });

  test('does not verify when an answer is missing or the model differs', () => {
    const trace = prepareTrace(WORK);
    const answers = play(trace, 1000, 8);
    const reply = frameBytes(REPLY_BYTES);
    assert.throws(() => verifyTrace(trace, answers.subarray(0, -reply)), { code: 'UPDATES_UNANSWERED' });
    assert.throws(() => verifyTrace(trace, answers.subarray(reply)), { code: 'FRAME_OUT_OF_ORDER' });
    const other = { ...trace, expected: { low: trace.expected.low ^ 1, high: trace.expected.high } };
    assert.throws(() => verifyTrace(other, answers), { name: 'OracleError', code: 'CHECKSUM_DIFFERS' });
  });

  test('refuses work that cannot be made', () => {
    for (const bad of [{ requests: 0 }, { items: 0 }, { items: 1025 }, { seed: -1 }, { requests: 2 ** 40 }]) {
      assert.throws(() => prepareTrace({ ...WORK, ...bad }), { name: 'WorkError', code: 'WORK_INVALID' });
    }
  });
});
