import type { SecureHeap } from '../../enclave/memory/heap.ts';
import type { SecurePointer } from '../../enclave/memory/pointer.ts';
import { POLICIES } from '../../enclave/memory/policy.ts';
import { PAGE_BYTES } from '../../limits.ts';
import { MEBIBYTE, medians, nextRandom, type Row, round, type Scale, sink, withHeap } from './support.ts';

/** Reads at random places with a quarter of them in the cache, as in Eleos' table 3: past the cache and through it. */
export function* subPageRows({ rounds }: Scale): Iterable<Row> {
  for (const bytes of [16, 256, 1024, 2048, 4096]) {
    const times = withHeap(4, 16, (sparseHeap) =>
      withHeap(4, 16, (heap) => {
        const sparse = sparseHeap.alloc(16 * MEBIBYTE, { sparse: true });
        const whole = heap.alloc(16 * MEBIBYTE);
        sparse.fill(1);
        whole.fill(1);
        const target = new Uint8Array(bytes);
        const items = (16 * MEBIBYTE) / bytes;
        const reader = (pointer: SecurePointer) => (operations: number) => {
          let state = 7;
          for (let count = 0; count < operations; count++) {
            state = nextRandom(state);
            pointer.read(((state >> 3) % items) * bytes, target);
          }
        };
        return medians(rounds, 20_000, { direct: reader(sparse), cached: reader(whole) });
      }),
    );
    yield {
      what: 'sub-page-read',
      bytes,
      direct_ns: round(times.direct, 0),
      cached_ns: round(times.cached, 0),
      gain_ratio: round(times.cached / times.direct),
    };
  }
}

const TRACE_FRAMES = 256;
const TRACE_PAGES = 4096;

/** Page numbers of the known kinds of work, for a cache of a sixteenth of the pages. */
function traces(steps: number): Record<string, Int32Array> {
  const zipf = zipfian(TRACE_PAGES, 0.99);
  const build = (page: (step: number) => number) =>
    Int32Array.from({ length: steps }, (_, step) => page(step));
  return {
    zipf: build(zipf),
    scan: build((step) => step % TRACE_PAGES),
    loop: build((step) => step % (TRACE_FRAMES * 1.2)),
    // Popular pages, with a scan over all of them in every fifth stretch.
    mixed: build((step) => (Math.floor(step / 2000) % 5 === 4 ? (step * 7) % TRACE_PAGES : zipf())),
  };
}

/** Pages with the popularity of Zipf's law, the popular ones spread over all of them. */
function zipfian(pages: number, exponent: number): () => number {
  const sums = new Float64Array(pages);
  let sum = 0;
  for (let rank = 0; rank < pages; rank++) {
    sum += 1 / (rank + 1) ** exponent;
    sums[rank] = sum;
  }
  let state = 12_345;
  return () => {
    state = nextRandom(state);
    const wanted = (state / 2 ** 31) * sum;
    let low = 0;
    for (let step = pages >> 1; step > 0; step >>= 1) {
      if (sums[low + step - 1]! < wanted) low += step;
    }
    return (low * 1663) % pages;
  };
}

export function* traceRows({ traceSteps }: Scale): Iterable<Row> {
  for (const [trace, pages] of Object.entries(traces(traceSteps))) {
    const row: Row = { what: 'hit-ratio', trace, frames: TRACE_FRAMES, pages: TRACE_PAGES };
    for (const policy of POLICIES) {
      row[`${policy.replace('-', '_')}_hit_ratio`] = withHeap(
        1,
        16,
        (heap) => traceHits(heap, pages),
        policy,
      );
    }
    yield row;
  }
}

function traceHits(heap: SecureHeap, pages: Int32Array): number {
  const block = heap.alloc(TRACE_PAGES * PAGE_BYTES);
  for (let page = 0; page < TRACE_PAGES; page++) block.setUint8(page * PAGE_BYTES, 1);
  const before = heap.counters();
  // Every access links anew: a page that stays linked would not be counted.
  for (const page of pages) {
    sink[0]! += block.getUint8(page * PAGE_BYTES);
    block.unlink();
  }
  const after = heap.counters();
  // What was read ahead was used, but the policy did not keep it.
  const hits = after.minorFaults - before.minorFaults - (after.readAheadHits - before.readAheadHits);
  return round(hits / pages.length);
}
