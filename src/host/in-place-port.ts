import type { Port } from '../boundary/port.ts';
import { Request } from '../boundary/ring.ts';
import { privateAddress } from '../linux/addresses.ts';
import {
  addToEpoll,
  createEvent,
  drainEvent,
  EPOLLIN,
  signalEvent,
  yieldProcessor,
} from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import type { Executor } from './executor.ts';

/**
 * Serves calls in place, on the thread that makes them: what the same program costs without an enclave. The
 * system reads and writes the program's own buffers, so nothing is copied that native code would not copy.
 *
 * With a charge, every call also spins for what leaving and entering an enclave costs elsewhere.
 */
export class InPlacePort implements Port {
  readonly #executor: Executor;
  readonly #request = new Request();
  readonly #chargeMilliseconds: number;
  readonly #alarm: number;
  #timer: NodeJS.Timeout | undefined;
  readonly bell: number;
  readonly inPlace = true;
  /** Calls use the program's own buffers. */
  readonly blocksInUse = 0;

  /** The executor must have been made with `base` 0, an unbounded `payloadEnd`, and the calls as its sink. */
  constructor(executor: Executor, chargeNanoseconds: number) {
    this.#executor = executor;
    this.#chargeMilliseconds = chargeNanoseconds / 1e6;
    this.bell = executor.epoll;
    const alarm = check(createEvent(), 'eventfd');
    this.#alarm = alarm;
    check(addToEpoll(executor.epoll, alarm, EPOLLIN), 'epoll_ctl');
    executor.watch(alarm, { onEvents: () => drainEvent(alarm) });
  }

  submit(
    kind: number,
    id: number,
    handle: number,
    payload: number,
    length: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    a4: number,
    a5: number,
    timeout: number,
  ): void {
    if (this.#chargeMilliseconds > 0) this.#spin();
    const request = this.#request;
    request.kind = kind;
    request.id = id;
    request.handle = handle;
    request.payload = payload;
    request.length = length;
    request.a0 = a0;
    request.a1 = a1;
    request.a2 = a2;
    request.a3 = a3;
    request.a4 = a4;
    request.a5 = a5;
    request.timeout = timeout;
    this.#executor.execute(request);
  }

  #spin(): void {
    const until = performance.now() + this.#chargeMilliseconds;
    while (performance.now() < until);
  }

  poll(): number {
    if (this.#executor.pendingCount === 0) return 0;
    return this.#executor.poll(0);
  }

  park(milliseconds: number): void {
    this.#executor.poll(Math.min(milliseconds, 1000));
  }

  /** The epoll that is the bell knows no deadlines: the next one rings an alarm in it. */
  parkOnBell(): boolean {
    const milliseconds = this.#executor.untilDeadline();
    if (milliseconds >= 0) this.#timer = setTimeout(this.#ring, milliseconds);
    return false;
  }

  readonly #ring = (): void => {
    signalEvent(this.#alarm);
  };

  unpark(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    drainEvent(this.#alarm);
  }

  yield(): void {
    yieldProcessor();
  }

  reserve(view: Uint8Array<ArrayBuffer>, offset: number, _length: number): number {
    return privateAddress(view) + offset;
  }

  copyOut(): void {}

  copyIn(): void {}

  release(): void {}
}
