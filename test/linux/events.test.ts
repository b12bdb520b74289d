import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import process from 'node:process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PAGE_BYTES } from '../../src/limits.ts';
import {
  addToEpoll,
  closeDescriptor,
  createEpoll,
  createEvent,
  deleteFromEpoll,
  drainEvent,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  EventBuffer,
  futexWait,
  futexWake,
  modifyInEpoll,
  pollDescriptor,
  signalEvent,
  waitForEvents,
  yieldProcessor,
} from '../../src/linux/events.ts';
import { addressOf } from '../../src/linux/ffi.ts';
import { createSealedMemory, mapOver } from '../../src/linux/memory.ts';
import { Structure } from '../../src/linux/structure.ts';

const { EAGAIN, EBADF, EEXIST, EINVAL, ENOENT, EPERM, ETIMEDOUT } = constants.errno;

function withDescriptors(work: (keep: (fd: number) => number) => void): void {
  const kept: number[] = [];
  try {
    work((fd) => {
      assert.ok(fd >= 0, `a descriptor, not ${fd}`);
      kept.push(fd);
      return fd;
    });
  } finally {
    for (const fd of kept) assert.equal(closeDescriptor(fd), 0);
  }
}

test('an event counts its signals and is empty once drained', () => {
  withDescriptors((keep) => {
    const fd = keep(createEvent());
    assert.equal(drainEvent(fd), -EAGAIN);
    for (let signal = 0; signal < 3; signal++) assert.equal(signalEvent(fd), 0);
    assert.equal(drainEvent(fd), 3);
    assert.equal(drainEvent(fd), -EAGAIN);
  });
});

test('an event of more than 2^32 signals is counted exactly', () => {
  withDescriptors((keep) => {
    const fd = keep(createEvent());
    const count = new BigUint64Array([2n ** 40n + 5n]);
    writeSync(fd, count);
    assert.equal(drainEvent(fd), 2 ** 40 + 5);
  });
});

test('what is wrong with a descriptor comes back as -errno', () => {
  const fd = createEvent();
  assert.equal(closeDescriptor(fd), 0);
  assert.equal(closeDescriptor(fd), -EBADF);
  assert.equal(signalEvent(fd), -EBADF);
  assert.equal(drainEvent(fd), -EBADF);
  assert.equal(addToEpoll(fd, 0, EPOLLIN), -EBADF);
  assert.equal(waitForEvents(fd, new EventBuffer(1), 0), -EBADF);
});

test('epoll reports each ready descriptor with its events', () => {
  withDescriptors((keep) => {
    const epoll = keep(createEpoll());
    const buffer = new EventBuffer(4);
    const events = Array.from({ length: 3 }, () => keep(createEvent()));
    for (const fd of events) assert.equal(addToEpoll(epoll, fd, EPOLLIN), 0);
    assert.equal(addToEpoll(epoll, events[0]!, EPOLLIN), -EEXIST);
    assert.equal(waitForEvents(epoll, buffer, 0), 0);

    signalEvent(events[0]!);
    signalEvent(events[2]!);
    assert.equal(waitForEvents(epoll, buffer, -1), 2);
    const seen = new Map([0, 1].map((index) => [buffer.descriptorAt(index), buffer.eventsAt(index)]));
    assert.deepEqual(
      seen,
      new Map([
        [events[0]!, EPOLLIN],
        [events[2]!, EPOLLIN],
      ]),
    );

    assert.equal(modifyInEpoll(epoll, events[0]!, EPOLLIN | EPOLLOUT), 0);
    assert.equal(deleteFromEpoll(epoll, events[2]!), 0);
    assert.equal(deleteFromEpoll(epoll, events[2]!), -ENOENT);
    assert.equal(waitForEvents(epoll, buffer, -1), 1);
    assert.equal(buffer.descriptorAt(0), events[0]);
    assert.equal(buffer.eventsAt(0), EPOLLIN | EPOLLOUT);
  });
});

test('epoll never fills more than the buffer holds', () => {
  withDescriptors((keep) => {
    const epoll = keep(createEpoll());
    for (let index = 0; index < 5; index++) {
      const fd = keep(createEvent());
      signalEvent(fd);
      addToEpoll(epoll, fd, EPOLLIN);
    }
    assert.equal(waitForEvents(epoll, new EventBuffer(2), -1), 2);
  });
});

test('an edge is reported once, a level until it is drained', () => {
  withDescriptors((keep) => {
    const epoll = keep(createEpoll());
    const buffer = new EventBuffer(1);
    const fd = keep(createEvent());
    addToEpoll(epoll, fd, EPOLLIN | EPOLLET);
    signalEvent(fd);
    assert.equal(waitForEvents(epoll, buffer, -1), 1);
    assert.equal(waitForEvents(epoll, buffer, 0), 0);
    signalEvent(fd);
    assert.equal(waitForEvents(epoll, buffer, -1), 1);

    modifyInEpoll(epoll, fd, EPOLLIN);
    assert.equal(waitForEvents(epoll, buffer, -1), 1);
    assert.equal(waitForEvents(epoll, buffer, -1), 1);
  });
});

test('a regular file cannot be waited for', () => {
  withDescriptors((keep) => {
    const file = openSync(fileURLToPath(import.meta.url), 'r');
    assert.equal(addToEpoll(keep(createEpoll()), file, EPOLLIN), -EPERM);
    closeSync(file);
  });
});

test('poll tells what one descriptor is ready for', () => {
  withDescriptors((keep) => {
    const fd = keep(createEvent());
    assert.equal(pollDescriptor(fd, EPOLLIN, 0), 0);
    assert.equal(pollDescriptor(fd, EPOLLIN, 1), 0);
    assert.equal(pollDescriptor(fd, EPOLLIN | EPOLLOUT, -1), EPOLLOUT);
    signalEvent(fd);
    assert.equal(pollDescriptor(fd, EPOLLIN | EPOLLOUT, -1), EPOLLIN | EPOLLOUT);
    writeSync(fd, new BigUint64Array([2n ** 64n - 3n]));
    assert.equal(pollDescriptor(fd, EPOLLOUT, 0), 0, 'a full counter takes no more');
  });
});

test('a futex sleeps only on the value that was expected', () => {
  const word = new Structure(64);
  word.view.setInt32(0, -5, true);
  assert.equal(futexWait(word.address, 1, -1), -EAGAIN);
  assert.equal(futexWait(word.address, -5, 2.5), -ETIMEDOUT);
  assert.equal(futexWait(word.address, -5, 0), -ETIMEDOUT);
  assert.equal(futexWait(word.address + 1, -5, 0), -EINVAL);
  assert.equal(futexWake(word.address, 1), 0);
  assert.equal(yieldProcessor(), 0);
});

test('a futex wakes a thread of another process that maps the same memory', async () => {
  const memory = new Int32Array(new SharedArrayBuffer(2 * PAGE_BYTES));
  const start = addressOf(memory);
  const page = Math.ceil(start / PAGE_BYTES) * PAGE_BYTES;
  const fd = createSealedMemory('futex-test', PAGE_BYTES);
  mapOver(page, PAGE_BYTES, fd);
  memory[(page - start) / 4] = 7;

  const sleeper = fileURLToPath(new URL('./futex-sleeper.js', import.meta.url));
  const child = spawn(process.execPath, [sleeper], { stdio: ['ignore', 'pipe', 'inherit', fd] });
  try {
    let printed = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
    const closed = once(child, 'close');
    let woken = 0;
    while (woken === 0 && child.exitCode === null) {
      woken = futexWake(page, 1);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await closed;
    assert.equal(woken, 1);
    assert.equal(printed, '0\n');
  } finally {
    child.kill('SIGKILL');
    closeDescriptor(fd);
  }
});
