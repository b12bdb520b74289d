import assert from 'node:assert/strict';
import { register } from 'node:module';
import { test } from 'node:test';
import { Counters } from '../../src/boundary/counters.ts';
import { CallKind } from '../../src/boundary/kinds.ts';
import { boundaryBytes, channelLayout } from '../../src/boundary/layout.ts';
import { Request, SubmissionReader } from '../../src/boundary/ring.ts';
import { RING_ENTRIES } from '../../src/limits.ts';
import { type Exploration, explore, keyOfWord, mark, retry, withSimulatedAtomics } from './explore.ts';

/**
 * All interleavings of a channel's two ends as they submit, answer, sleep and wake each other: the real port of
 * the enclave and the real sink of the host over a simulated kernel. A lost wake-up is a state that leads nowhere.
 */
register(new URL('./simulated-kernel-loader.js', import.meta.url));
const { RingPort } = await import('../../src/enclave/ring-port.ts');
const { RingSink } = await import('../../src/host/ring-sink.ts');
const { Journal } = await import('../../src/host/journal.ts');
const { drainEvent, setSharedMemory, waitForEvent } = await import('./simulated-events.ts');

const HOST_BELL = 1;
const ENCLAVE_BELL = 2;
const layout = channelLayout(0);
const boundary = { address: 0, buffer: new SharedArrayBuffer(boundaryBytes(1)) };
const words = new Int32Array(boundary.buffer);
const journalMemory = new Journal().buffer;
setSharedMemory(words);

/** So few entries never fill a ring, so nobody asks how many were taken. */
const neverRead = new Set(
  [layout.submissionsTaken, layout.completionsTaken].map((offset) => keyOfWord(words, offset >> 2)),
);

type Port = InstanceType<typeof RingPort>;
type Sink = InstanceType<typeof RingSink>;

/** The enclave's end, and which calls were answered. */
function openPort(): { port: Port; answered: Set<number> } {
  const answered = new Set<number>();
  const complete = (id: number): void => {
    assert.ok(!answered.has(id), `${id} is answered twice`);
    answered.add(id);
  };
  const port = new RingPort(boundary, layout, HOST_BELL, ENCLAVE_BELL, { complete }, new Counters());
  return { port, answered };
}

function submit(port: Port, kind: number, id: number): void {
  port.submit(kind, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1);
}

/** Waits on the thread for one call, as a synchronous call does once it no longer spins. */
function finish(port: Port, answered: ReadonlySet<number>, id: number): void {
  for (;;) {
    port.poll();
    if (answered.has(id)) return;
    port.park(Number.POSITIVE_INFINITY);
  }
}

/** Waits in the event loop until a call is answered. */
function awaitAnswer(port: Port, answered: ReadonlySet<number>, id: number, inBetween: () => void): void {
  while (!answered.has(id)) {
    if (port.poll() > 0) continue;
    if (!port.parkOnBell()) {
      inBetween();
      if (!answered.has(id)) waitForEvent(ENCLAVE_BELL);
    }
    port.unpark();
  }
}

/** A call that ends the host. */
function stopHost(port: Port): void {
  submit(port, CallKind.close, 99);
}

function openSink(): Sink {
  new Uint8Array(journalMemory).fill(0);
  return new RingSink(boundary, layout, ENCLAVE_BELL, new Journal(journalMemory));
}

/** The loop of a host worker that does not spin. */
function serveWith(serve: (request: Request, sink: Sink) => void): () => void {
  return () => {
    const sink = openSink();
    const { submissionRing: entries, submissionsTaken: taken, hostParked } = layout;
    const reader = new SubmissionReader({ words, entries, size: RING_ENTRIES, taken });
    const request = new Request();
    for (let sleeps = 1; ; ) {
      if (reader.read(request)) {
        if (request.kind === CallKind.close) return;
        serve(request, sink);
        continue;
      }
      reader.acknowledge();
      Atomics.store(words, hostParked >> 2, sleeps++);
      if (!reader.waiting()) {
        waitForEvent(HOST_BELL);
        drainEvent(HOST_BELL);
      }
      Atomics.store(words, hostParked >> 2, 0);
    }
  };
}

function run(enclave: () => void, host: () => void): Exploration {
  return withSimulatedAtomics(() => explore([enclave, host]), neverRead);
}

const answerAtOnce = serveWith((request, sink) => sink.complete(request.id, 0, 0, 0));

test('R12 synchronous calls that sleep are always woken', (context) => {
  const { states, endings } = run(() => {
    const { port, answered } = openPort();
    submit(port, CallKind.nothing, 1);
    finish(port, answered, 1);
    stopHost(port);
  }, answerAtOnce);
  context.diagnostic(`${states} states`);
  assert.ok(endings > 0);
});

test('R12 an event loop that sleeps is always woken', (context) => {
  const { states, endings } = run(() => {
    const { port, answered } = openPort();
    submit(port, CallKind.receive, 1);
    awaitAnswer(port, answered, 1, () => {});
    stopHost(port);
  }, answerAtOnce);
  context.diagnostic(`${states} states`);
  assert.ok(endings > 0);
});

/** The host has taken call 1 long ago, and answers it after call 2, which a timer makes meanwhile. */
test('R12 a call made while the event loop sleeps does not take its wake-up', (context) => {
  const host = (): void => {
    const sink = openSink();
    const { submissionRing: entries, submissionsTaken: taken } = layout;
    const reader = new SubmissionReader({ words, entries, size: RING_ENTRIES, taken });
    const request = new Request();
    for (let from = mark(); !reader.read(request); ) retry(from);
    sink.complete(request.id, 0, 0, 0);
    sink.complete(1, 0, 0, 0);
  };
  const { states, endings } = run(() => {
    const { port, answered } = openPort();
    let isMade = false;
    awaitAnswer(port, answered, 1, () => {
      if (isMade) return;
      isMade = true;
      submit(port, CallKind.nothing, 2);
      finish(port, answered, 2);
    });
  }, host);
  context.diagnostic(`${states} states`);
  assert.ok(endings > 0);
});

test('the exploration finds a host that forgets to look again before it sleeps', () => {
  const careless = (): void => {
    const sink = openSink();
    const { submissionRing: entries, submissionsTaken: taken, hostParked } = layout;
    const reader = new SubmissionReader({ words, entries, size: RING_ENTRIES, taken });
    const request = new Request();
    for (;;) {
      if (reader.read(request)) {
        if (request.kind === CallKind.close) return;
        sink.complete(request.id, 0, 0, 0);
      } else {
        Atomics.store(words, hostParked >> 2, 1);
        waitForEvent(HOST_BELL);
        drainEvent(HOST_BELL);
        Atomics.store(words, hostParked >> 2, 0);
      }
    }
  };
  const enclave = (): void => {
    const { port, answered } = openPort();
    submit(port, CallKind.nothing, 1);
    finish(port, answered, 1);
    stopHost(port);
  };
  assert.throws(() => run(enclave, careless), /no way leads on/);
});
