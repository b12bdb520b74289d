import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { SystemError } from '../../src/errors.ts';
import {
  closeDescriptor,
  createEvent,
  drainEvent,
  EPOLLIN,
  EPOLLOUT,
  pollDescriptor,
  signalEvent,
} from '../../src/linux/events.ts';
import { Structure } from '../../src/linux/structure.ts';
import { Uring } from '../../src/linux/uring.ts';
import { ioUringRefusal } from '../support/io-uring.ts';

const { EAGAIN, EBADF, EFAULT, EINVAL } = constants.errno;

const skip = ioUringRefusal();

function ringOf(t: TestContext, entries: number): Uring {
  const ring = new Uring(entries);
  t.after(() => ring.close());
  return ring;
}

function temporaryFile(t: TestContext): number {
  const directory = fs.mkdtempSync(join(tmpdir(), 'sgxio-uring-'));
  const fd = fs.openSync(join(directory, 'file'), 'w+');
  t.after(() => {
    fs.closeSync(fd);
    fs.rmSync(directory, { recursive: true });
  });
  return fd;
}

function eventOf(t: TestContext): number {
  const fd = createEvent();
  t.after(() => closeDescriptor(fd));
  return fd;
}

/** Submits what is queued, waits for as much, and gives the results by token. */
function finish(ring: Uring, count: number): Map<number, number> {
  assert.equal(ring.submit(count), count);
  assert.equal(ring.completed, count);
  const results = new Map<number, number>();
  for (let index = 0; index < count; index++) results.set(ring.tokenAt(index), ring.resultAt(index));
  ring.release(count);
  assert.equal(ring.completed, 0);
  return results;
}

test('reads and writes at any offset do what those of Node do', { skip }, (t) => {
  const ring = ringOf(t, 8);
  const [ours, nodes] = [temporaryFile(t), temporaryFile(t)];
  const source = new Structure(512);
  source.bytes.forEach((_, index) => {
    source.bytes[index] = index * 7;
  });
  const target = new Structure(512);
  const step = fc.record({ writing: fc.boolean(), offset: fc.nat(2000), length: fc.nat(512) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(2 ** 31 - 1), (steps, token) => {
      for (const { writing, offset, length } of steps) {
        if (writing) {
          assert.ok(ring.queueWrite(ours, source.address, length, offset, token));
          const written = fs.writeSync(nodes, source.bytes, 0, length, offset);
          assert.deepEqual(finish(ring, 1), new Map([[token, written]]));
        } else {
          const expected = Buffer.alloc(512);
          const read = fs.readSync(nodes, expected, 0, length, offset);
          assert.ok(ring.queueRead(ours, target.address, length, offset, token));
          assert.deepEqual(finish(ring, 1), new Map([[token, read]]));
          assert.deepEqual(target.bytes.slice(0, read), new Uint8Array(expected.subarray(0, read)));
        }
      }
    }),
  );
});

test('a batch is one submission, and each result finds its token', { skip }, (t) => {
  const ring = ringOf(t, 8);
  const fd = temporaryFile(t);
  fs.writeSync(fd, '0123456789');
  const room = new Structure(64);
  ring.queueRead(fd, room.address, 3, 7, 70);
  ring.queueRead(fd, room.address + 8, 64, 2 ** 40, 71);
  ring.queueWrite(fd, room.address + 32, 2, 2 ** 33, 72);
  ring.queueSync(fd, 73);
  ring.queueSyncData(fd, 74);
  ring.queueNothing(75);
  ring.queueRead(-1, room.address, 1, 0, 76);
  ring.queueRead(fd, 8, 1, 0, 2 ** 31 - 1);
  assert.equal(ring.completed, 0, 'nothing runs before it is submitted');
  const expected = [
    [70, 3],
    [71, 0],
    [72, 2],
    [73, 0],
    [74, 0],
    [75, 0],
    [76, -EBADF],
    [2 ** 31 - 1, -EFAULT],
  ] as const;
  assert.deepEqual(finish(ring, 8), new Map(expected));
  assert.equal(Buffer.from(room.bytes.subarray(0, 3)).toString(), '789');
  assert.equal(fs.fstatSync(fd).size, 2 ** 33 + 2);
});

test('work beyond the capacity is refused until completions are released', { skip }, (t) => {
  const ring = ringOf(t, 3);
  assert.equal(ring.capacity, 4, 'rounded up to a power of two');
  for (let round = 0; round < 5; round++) {
    for (let token = 0; token < 4; token++) assert.ok(ring.queueNothing(token));
    assert.equal(ring.queueNothing(4), false);
    assert.equal(ring.submit(4), 4);
    assert.equal(ring.queueNothing(4), false);
    assert.equal(ring.completed, 4);
    ring.release(1);
    assert.ok(ring.queueNothing(4));
    assert.equal(ring.queueNothing(5), false);
    assert.equal(ring.submit(4), 1);
    assert.deepEqual(
      [0, 1, 2, 3].map((index) => ring.tokenAt(index)),
      [1, 2, 3, 4],
    );
    ring.release(4);
  }
  assert.equal(ring.submit(0), 0);
});

test('a poll completes when the descriptor is ready, not before', { skip }, (t) => {
  const ring = ringOf(t, 4);
  const fd = eventOf(t);
  ring.queuePoll(fd, EPOLLIN, 1);
  ring.queuePoll(fd, EPOLLOUT, 2);
  assert.equal(ring.submit(1), 2);
  assert.equal(ring.completed, 1);
  assert.deepEqual([ring.tokenAt(0), ring.resultAt(0)], [2, EPOLLOUT]);
  ring.release(1);
  signalEvent(fd);
  ring.submit(1);
  assert.deepEqual([ring.tokenAt(0), ring.resultAt(0) & EPOLLIN], [1, EPOLLIN]);
  ring.release(1);
});

test('a registered event is signalled by completions', { skip }, (t) => {
  const ring = ringOf(t, 4);
  const [fd, watched] = [eventOf(t), eventOf(t)];
  assert.equal(ring.registerEvent(-1), -EBADF);
  assert.equal(ring.registerEvent(fd), 0);
  ring.queuePoll(watched, EPOLLIN, 5);
  assert.equal(ring.submit(0), 1);
  assert.equal(drainEvent(fd), -EAGAIN);
  signalEvent(watched);
  assert.equal(pollDescriptor(fd, EPOLLIN, 30_000), EPOLLIN);
  assert.ok(drainEvent(fd) >= 1);
  assert.equal(ring.completed, 1);
  assert.equal(ring.tokenAt(0), 5);
  ring.release(1);
});

test('closing cancels what waits and leaves neither descriptor nor mapping', { skip }, (t) => {
  const watched = eventOf(t);
  const mappings = () => fs.readFileSync('/proc/self/maps', 'latin1').split('[io_uring]').length;
  const descriptors = () => fs.readdirSync('/proc/self/fd').length;
  const before = [mappings(), descriptors()];
  for (const [submitted, queued] of [
    [0, 0],
    [0, 2],
    [2, 0],
    [2, 2],
    [4, 0],
  ] as const) {
    const ring = new Uring(4);
    assert.ok(mappings() > before[0]! && descriptors() > before[1]!);
    for (let token = 0; token < submitted; token++) {
      // One is complete and never read, the others wait for a signal that never comes.
      if (token === 0) ring.queueNothing(token);
      else ring.queuePoll(watched, EPOLLIN, token);
    }
    ring.submit(0);
    for (let token = 0; token < queued; token++) ring.queueNothing(token);
    ring.close();
    assert.deepEqual([mappings(), descriptors()], before);
    ring.close();
    assert.equal(ring.queueNothing(1), false);
    assert.equal(ring.completed, 0);
    assert.equal(ring.submit(1), -EBADF);
  }
});

test('a ring that the kernel refuses leaves nothing behind', { skip }, () => {
  const descriptors = () => fs.readdirSync('/proc/self/fd').length;
  const before = descriptors();
  assert.throws(
    () => new Uring(0),
    (error) => error instanceof SystemError && error.code === 'EINVAL' && error.errno === -EINVAL,
  );
  assert.throws(() => new Uring(1 << 20), SystemError);
  assert.equal(descriptors(), before);
});
