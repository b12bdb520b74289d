import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/boundary/counters.ts';
import { CallKind } from '../../src/boundary/kinds.ts';
import { boundaryBytes, channelLayout } from '../../src/boundary/layout.ts';
import { Request, SubmissionReader } from '../../src/boundary/ring.ts';
import { RingPort } from '../../src/enclave/ring-port.ts';
import { RING_ENTRIES } from '../../src/limits.ts';
import { closeDescriptor, createEvent, drainEvent } from '../../src/linux/events.ts';
import { createSealedMemory, mapShared } from '../../src/linux/memory.ts';

test('calls that are submitted while the host sleeps wake it once for each sleep', (t) => {
  const bytes = boundaryBytes(1);
  const memory = createSealedMemory('sgxio-test', bytes);
  const boundary = mapShared(memory, bytes);
  const [hostBell, bell] = [createEvent(), createEvent()];
  t.after(() => {
    for (const descriptor of [memory, hostBell, bell]) closeDescriptor(descriptor);
  });
  const layout = channelLayout(0);
  const words = new Int32Array(boundary.buffer);
  const counters = new Counters();
  const port = new RingPort(boundary, layout, hostBell, bell, { complete: () => {} }, counters);
  const reader = new SubmissionReader({
    words,
    entries: layout.submissionRing,
    size: RING_ENTRIES,
    taken: layout.submissionsTaken,
  });
  const request = new Request();
  for (let sleep = 1; sleep <= 3; sleep++) {
    Atomics.store(words, layout.hostParked >> 2, sleep);
    for (let id = 1; id <= 20; id++) port.submit(CallKind.nothing, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1);
    assert.equal(drainEvent(hostBell), 1);
    for (let id = 1; id <= 20; id++) {
      assert.ok(reader.read(request));
      assert.equal(request.id, id);
    }
  }
});
