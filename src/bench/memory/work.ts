import { SecureArray } from '../../enclave/memory/array.ts';
import type { SecureHeap } from '../../enclave/memory/heap.ts';
import { hashJoin } from '../../enclave/memory/join.ts';
import { sort } from '../../enclave/memory/sort.ts';
import { MEBIBYTE, nextRandom, type Row, round, type Scale, withHeap } from './support.ts';

/** A sort and a join of more than private memory holds, against the same on typed arrays that all fit. */
export function* workRows(scale: Scale): Iterable<Row> {
  const elements = (scale.workMib * MEBIBYTE) / 8;
  const common = { data_mib: scale.workMib, cache_mib: scale.workCacheMib };
  const sorted = withHeap(scale.workCacheMib, scale.workMib * 2.1, (heap) => sortTimes(heap, elements));
  yield { what: 'sort', ...common, ...sorted };
  const joined = withHeap(scale.workCacheMib, scale.workMib * 2.1, (heap) => joinTimes(heap, elements));
  yield { what: 'hash-join', ...common, ...joined };
}

function milliseconds(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

function sortTimes(heap: SecureHeap, elements: number): Row {
  const array = new SecureArray(heap, 'f64', elements);
  const piece = new Float64Array(4096);
  let state = 3;
  for (let from = 0; from < elements; from += piece.length) {
    for (let index = 0; index < piece.length; index++) {
      state = nextRandom(state);
      piece[index] = state;
    }
    array.write(from, piece);
  }
  const plain = new Float64Array(elements);
  for (let index = 0; index < elements; index += piece.length) {
    array.read(index, plain.subarray(index, index + piece.length));
  }
  const secure = milliseconds(() => sort(array));
  const direct = milliseconds(() => plain.sort());
  let index = 0;
  let equal = true;
  for (const chunk of array.chunks()) {
    for (const value of chunk) equal = equal && value === plain[index++];
  }
  return {
    secure_ms: round(secure, 0),
    plain_ms: round(direct, 0),
    slowdown_ratio: round(secure / direct),
    equal,
  };
}

/** A side of a quarter of the rows, joined with one of three quarters. */
function joinTimes(heap: SecureHeap, elements: number): Row {
  const buildRows = elements / 8;
  const probeRows = (elements * 3) / 8;
  const build = new SecureArray(heap, 'f64', buildRows * 2);
  const probe = new SecureArray(heap, 'f64', probeRows * 2);
  for (let row = 0; row < buildRows; row++) {
    build.set(row * 2, row * 3);
    build.set(row * 2 + 1, row);
  }
  let state = 5;
  for (let row = 0; row < probeRows; row++) {
    state = nextRandom(state);
    probe.set(row * 2, state % (buildRows * 3));
    probe.set(row * 2 + 1, row);
  }
  let secureSum = 0;
  let plainSum = 0;
  let rows = 0;
  const secure = milliseconds(() => {
    rows = hashJoin(build, probe, (_key, built, probed) => {
      secureSum += built ^ probed;
    });
  });
  const plainBuild = Float64Array.from(build);
  const plainProbe = Float64Array.from(probe);
  const direct = milliseconds(() => {
    const table = new Map<number, number>();
    for (let at = 0; at < plainBuild.length; at += 2) table.set(plainBuild[at]!, plainBuild[at + 1]!);
    for (let at = 0; at < plainProbe.length; at += 2) {
      const built = table.get(plainProbe[at]!);
      if (built !== undefined) plainSum += built ^ plainProbe[at + 1]!;
    }
  });
  return {
    secure_ms: round(secure, 0),
    plain_ms: round(direct, 0),
    slowdown_ratio: round(secure / direct),
    rows,
    equal: secureSum === plainSum,
  };
}
