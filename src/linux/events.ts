import process from 'node:process';
import { check, declare, negativeErrno } from './ffi.ts';
import { Structure } from './structure.ts';

/**
 * How a thread waits and is woken: eventfd, epoll, futex, poll. Every function returns what the kernel
 * returns, a value of zero or more or `-errno`, and allocates nothing.
 */
const eventfd: (count: number, flags: number) => number = declare('int eventfd(uint, int)');
const eventfdWrite: (fd: number, count: number) => number = declare('int eventfd_write(int, uint64)');
const eventfdRead: (fd: number, count: number) => number = declare('int eventfd_read(int, uintptr_t)');
const epollCreate: (flags: number) => number = declare('int epoll_create1(int)');
const epollControl: (epoll: number, operation: number, fd: number, event: number) => number = declare(
  'int epoll_ctl(int, int, int, uintptr_t)',
);
const epollWait: (epoll: number, events: number, capacity: number, timeout: number) => number = declare(
  'int epoll_wait(int, uintptr_t, int, int)',
);
/** The rest of the six arguments of futex(2) is ignored by these two operations. */
const futexSleep: (
  number: number,
  address: number,
  operation: number,
  expected: number,
  timeout: number,
) => number = declare('int64 syscall(int64, uintptr_t, int, int, uintptr_t)');
const futexRouse: (number: number, address: number, operation: number, count: number) => number = declare(
  'int64 syscall(int64, uintptr_t, int, int)',
);
const schedYield: () => number = declare('int sched_yield()');
const poll: (entries: number, count: number, timeout: number) => number = declare(
  'int poll(uintptr_t, uint64, int)',
);
const close: (fd: number) => number = declare('int close(int)');

/** The same numbers serve `pollDescriptor`, but for `EPOLLET`. */
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
/** Reported whether asked for or not, as is `EPOLLHUP`. */
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
export const EPOLLET: number = 1 << 31;

const EFD_CLOEXEC_NONBLOCK = 0x80800;
const EPOLL_CLOEXEC = 0x80000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
/** Shared between processes: without FUTEX_PRIVATE_FLAG. */
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const SYS_FUTEX = process.arch === 'arm64' ? 98 : 202;

/** `struct epoll_event` is packed on x64 alone: the descriptor follows the 32-bit events at once. */
const EVENT_BYTES = process.arch === 'arm64' ? 16 : 12;
const EVENT_DATA_OFFSET = process.arch === 'arm64' ? 8 : 4;

const event = new Structure(EVENT_BYTES);
const counter = new Structure(8);
const pollEntry = new Structure(8);
const timespec = new Structure(16);

export function closeDescriptor(fd: number): number {
  return negativeErrno(close(fd));
}

/** An eventfd that is neither blocking nor inherited, with a count of zero. */
export function createEvent(): number {
  return negativeErrno(eventfd(0, EFD_CLOEXEC_NONBLOCK));
}

/** So many events, or none: those that there are already are closed when the system has no more. */
export function createEvents(count: number): number[] {
  const events: number[] = [];
  try {
    while (events.length < count) events.push(check(createEvent(), 'eventfd'));
  } catch (error) {
    for (const event of events) closeDescriptor(event);
    throw error;
  }
  return events;
}

export function signalEvent(fd: number): number {
  return negativeErrno(eventfdWrite(fd, 1));
}

/** How often it was signalled since the last time, or `-EAGAIN` if it was not. */
export function drainEvent(fd: number): number {
  const result = negativeErrno(eventfdRead(fd, counter.address));
  return result < 0 ? result : counter.get64(0);
}

export function createEpoll(): number {
  return negativeErrno(epollCreate(EPOLL_CLOEXEC));
}

export function addToEpoll(epoll: number, fd: number, events: number): number {
  return controlEpoll(epoll, EPOLL_CTL_ADD, fd, events);
}

export function modifyInEpoll(epoll: number, fd: number, events: number): number {
  return controlEpoll(epoll, EPOLL_CTL_MOD, fd, events);
}

export function deleteFromEpoll(epoll: number, fd: number): number {
  return controlEpoll(epoll, EPOLL_CTL_DEL, fd, 0);
}

function controlEpoll(epoll: number, operation: number, fd: number, events: number): number {
  event.view.setInt32(0, events, true);
  event.view.setInt32(EVENT_DATA_OFFSET, fd, true);
  return negativeErrno(epollControl(epoll, operation, fd, event.address));
}

/** Room for what one `waitForEvents` reports; it is overwritten by the next. */
export class EventBuffer {
  readonly capacity: number;
  readonly #events: Structure;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#events = new Structure(capacity * EVENT_BYTES);
  }

  get address(): number {
    return this.#events.address;
  }

  descriptorAt(index: number): number {
    return this.#events.view.getInt32(index * EVENT_BYTES + EVENT_DATA_OFFSET, true);
  }

  eventsAt(index: number): number {
    return this.#events.view.getInt32(index * EVENT_BYTES, true);
  }
}

/**
 * How many events are in `buffer`; 0 when `timeout` milliseconds (-1: no end) passed without one; `-EINTR` after
 * a signal, or when work of an io_uring of this thread completed meanwhile.
 */
export function waitForEvents(epoll: number, buffer: EventBuffer, timeout: number): number {
  return negativeErrno(epollWait(epoll, buffer.address, buffer.capacity, timeout));
}

/**
 * Sleeps while the 32-bit word at `address` is `expected`, a signed number. Returns 0 when woken (check the
 * word again: a wake may be spurious), `-EAGAIN` when the word is something else, `-ETIMEDOUT` after `timeout`
 * milliseconds (-1: no end), `-EINTR` after a signal. The thread that calls it runs no JavaScript meanwhile.
 */
export function futexWait(address: number, expected: number, timeout: number): number {
  if (timeout < 0) return negativeErrno(futexSleep(SYS_FUTEX, address, FUTEX_WAIT, expected, 0));
  const seconds = Math.floor(timeout / 1000);
  timespec.set64(0, seconds);
  timespec.set64(8, Math.floor((timeout - seconds * 1000) * 1e6));
  return negativeErrno(futexSleep(SYS_FUTEX, address, FUTEX_WAIT, expected, timespec.address));
}

/** How many of at most `count` waiting threads, of any process that maps the word, were woken. */
export function futexWake(address: number, count: number): number {
  return negativeErrno(futexRouse(SYS_FUTEX, address, FUTEX_WAKE, count));
}

/** Lets another thread that is ready have this processor. */
export function yieldProcessor(): number {
  return negativeErrno(schedYield());
}

/** Which of `events` (and errors) one descriptor has; 0 when `timeout` milliseconds (-1: no end) passed. */
export function pollDescriptor(fd: number, events: number, timeout: number): number {
  pollEntry.view.setInt32(0, fd, true);
  pollEntry.view.setInt16(4, events, true);
  pollEntry.view.setInt16(6, 0, true);
  const ready = negativeErrno(poll(pollEntry.address, 1, timeout));
  return ready <= 0 ? ready : pollEntry.view.getInt16(6, true);
}
