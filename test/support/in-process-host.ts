import { parseGrants } from '../../src/boundary/grants.ts';
import {
  boundaryBytes,
  type ChannelLayout,
  COMPLETION_BYTES,
  channelLayout,
} from '../../src/boundary/layout.ts';
import { PollingLoop } from '../../src/boundary/polling-loop.ts';
import type { Port } from '../../src/boundary/port.ts';
import { CompletionWriter, Request, SubmissionReader } from '../../src/boundary/ring.ts';
import { WaitPolicy } from '../../src/boundary/waiting.ts';
import { Calls } from '../../src/enclave/calls.ts';
import { RingPort } from '../../src/enclave/ring-port.ts';
import { setRuntime } from '../../src/enclave/runtime.ts';
import { RING_ENTRIES } from '../../src/limits.ts';
import { closeDescriptor, createEvent } from '../../src/linux/events.ts';
import { check } from '../../src/linux/ffi.ts';
import { createSealedMemory, mapShared, type SharedMapping } from '../../src/linux/memory.ts';
import { copyOf, type HostSide, type Script } from './host-side.ts';

const GRANTS = parseGrants({
  listen: ['tcp:127.0.0.1:*', 'udp:127.0.0.1:*'],
  connect: ['tcp:127.0.0.1:*', 'udp:127.0.0.1:*'],
  files: [{ mount: '/data', access: 'read-write' }],
  streams: ['stdin', 'stdout', 'stderr'],
  names: true,
});

const realNow = performance.now;

/** One mapping serves all hosts of a process: pages that were touched once are cheap. */
let boundary: SharedMapping | undefined;
let bell = -1;

function sharedBoundary(): SharedMapping {
  if (boundary !== undefined) return boundary;
  const bytes = boundaryBytes(1);
  const memory = createSealedMemory('lies', bytes);
  boundary = mapShared(memory, bytes);
  closeDescriptor(memory);
  bell = check(createEvent(), 'eventfd');
  return boundary;
}

/**
 * Both ends of one channel in this process, over real memory: the enclave's own calls, port and services on one
 * side, a script on the other, which acts the moment that something is submitted. An enclave that would sleep
 * makes time pass instead, so that no bound is too long to be tried.
 */
export class InProcessHost implements HostSide, Port {
  readonly blocksInUse = 0;
  readonly inPlace = false;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly layout: ChannelLayout = channelLayout(0);
  readonly calls: Calls;
  readonly port: RingPort;
  /** Rejects when the enclave's event loop would end the enclave. */
  readonly failed: Promise<never>;
  /** Told before the enclave sleeps. */
  onPark: () => void = () => {};
  script: Script<InProcessHost> = () => {};
  /** Whether submissions are taken at all. */
  takes = true;
  readonly #loop: PollingLoop;
  readonly #reader: SubmissionReader;
  readonly #writer: CompletionWriter;
  readonly #request = new Request();
  /** Milliseconds that pass whenever somebody looks at the clock. */
  hurry = 0;
  readonly #now = realNow;
  #skipped = 0;
  readonly bell: number;

  constructor() {
    const mapping = sharedBoundary();
    this.words = new Int32Array(mapping.buffer);
    this.bytes = new Uint8Array(mapping.buffer);
    const { words, layout } = this;
    const end = layout.completionRing + RING_ENTRIES * COMPLETION_BYTES;
    this.words.fill(0, layout.completionsTaken >> 2, end >> 2);
    this.calls = new Calls(new WaitPolicy(false));
    this.port = new RingPort(mapping, layout, bell, bell, this.calls, this.calls.counters);
    this.bell = bell;
    this.calls.connect(this);
    const size = RING_ENTRIES;
    this.#reader = new SubmissionReader({
      words,
      entries: layout.submissionRing,
      size,
      taken: layout.submissionsTaken,
    });
    this.#writer = new CompletionWriter({
      words,
      entries: layout.completionRing,
      size,
      taken: layout.completionsTaken,
    });
    let fail: (error: unknown) => void = () => {};
    this.failed = new Promise((_, reject) => {
      fail = reject;
    });
    this.failed.catch(() => {});
    this.#loop = new PollingLoop({
      poll: () => this.port.poll(),
      awaits: () => this.calls.waiting > 0,
      park: () => false,
      unpark: () => {},
      rest: () => {},
      spinMicroseconds: () => 0,
      record: () => {},
      fail,
    });
    this.calls.onWaiter = () => this.#loop.wake();
    setRuntime({
      calls: this.calls,
      loop: this.#loop,
      grants: GRANTS,
      words,
      boundaryAddress: 0,
      thread: { index: 0, count: 1 },
    });
    performance.now = () => {
      this.#skipped += this.hurry;
      return this.#now.call(performance) + this.#skipped;
    };
  }

  /** Makes that much time pass at once. */
  skip(milliseconds: number): void {
    this.#skipped += milliseconds;
  }

  /** Runs what a program would, until it ends or the enclave does. */
  async run<T>(program: () => T | Promise<T>): Promise<T> {
    try {
      return await Promise.race([(async () => program())(), this.failed]);
    } finally {
      performance.now = this.#now;
    }
  }

  /** Lets the script see what was submitted. */
  serve(): void {
    while (this.takes && this.#reader.read(this.#request)) {
      this.#reader.acknowledge();
      this.script(copyOf(this.#request), this);
    }
  }

  /** Takes what was submitted without a look at it. */
  serveSilently(): void {
    while (this.#reader.read(this.#request)) this.#reader.acknowledge();
  }

  answer(id: number, result: number, extra0 = 0, extra1 = 0): void {
    if (!this.#writer.hasRoom()) throw new Error('the enclave takes no completions');
    this.#writer.write(id, result, extra0, extra1);
    this.#loop.wake();
  }

  payload(request: Request): Uint8Array<SharedArrayBuffer> {
    const start = this.layout.arena + request.payload;
    return this.bytes.subarray(start, start + request.length);
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
    this.port.submit(kind, id, handle, payload, length, a0, a1, a2, a3, a4, a5, timeout);
    this.serve();
  }

  poll(): number {
    return this.port.poll();
  }

  park(milliseconds: number): void {
    this.onPark();
    this.port.park(0);
    this.#skipped += Math.min(milliseconds, 1000);
  }

  parkOnBell(): boolean {
    return this.port.parkOnBell();
  }

  unpark(): void {
    this.port.unpark();
  }

  yield(): void {
    this.port.yield();
  }

  reserve(view: Uint8Array<ArrayBuffer>, offset: number, length: number): number {
    return this.port.reserve(view, offset, length);
  }

  copyOut(payload: number, view: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
    this.port.copyOut(payload, view, offset, length);
  }

  copyIn(payload: number, view: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
    this.port.copyIn(payload, view, offset, length);
  }

  release(payload: number): void {
    this.port.release(payload);
  }
}
