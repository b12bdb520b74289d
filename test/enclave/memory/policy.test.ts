import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { POLICIES, type PolicyName } from '../../../src/enclave/memory/policy.ts';
import { createHeap, MEBIBYTE, seededRandom } from './support.ts';

const FRAMES = 64;
const PAGES = 800;

/** How many accesses found their page, of a heap with 64 frames. */
function hits(policy: PolicyName, trace: number[]): number {
  using heap = createHeap(FRAMES, 4 * MEBIBYTE, { policy }).heap;
  const block = heap.alloc(PAGES * 4096);
  for (let page = 0; page < PAGES; page++) block.setUint16(page * 4096, page);
  const before = heap.counters();
  for (const page of trace) {
    assert.equal(block.getUint16(page * 4096), page);
    block.unlink();
  }
  const after = heap.counters();
  return after.minorFaults - before.minorFaults - (after.readAheadHits - before.readAheadHits);
}

describe('eviction policies', () => {
  const below = seededRandom(10);
  const popular = () => Math.floor(40 * (below(1000) / 1000) ** 2);

  for (const policy of POLICIES) {
    it(`${policy} keeps pages that are used again and again`, () => {
      const trace = Array.from({ length: 5000 }, () => (below(4) === 0 ? below(PAGES) : popular()));
      assert.ok(hits(policy, trace) > 0.6 * trace.length);
    });
  }

  it('s3-fifo keeps them through scans, where clock does not', () => {
    const trace: number[] = [];
    for (let round = 0; round < 40; round++) {
      for (let count = 0; count < 60; count++) trace.push(popular());
      for (let page = 0; page < 200; page++) trace.push(100 + ((round * 200 + page) % 700));
    }
    const resistant = hits('s3-fifo', trace);
    assert.ok(resistant > hits('clock', trace));
    assert.ok(resistant > 0.75 * 40 * 60, `${resistant} of the popular accesses`);
  });

  it('s3-fifo keeps part of a loop that is longer than the cache', () => {
    const trace = Array.from({ length: 4000 }, (_, step) => (step * 7) % 77);
    assert.ok(hits('s3-fifo', trace) > 0.3 * trace.length);
  });
});
