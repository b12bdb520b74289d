import { InvalidArgumentError } from '../../errors.ts';
import { SecureArray } from './array.ts';
import { KeyHash } from './map-key.ts';

/** A relation of two columns: a key and a value, then the next key and value. */
export type Relation = SecureArray<'f64'>;

const ROW = 2;
/** Rows of the smaller side that are joined at once; with their table they take under 2 MiB of private memory. */
const ROWS_AT_ONCE = 65_536;
/** Rows that are moved at a time. */
const ROWS_PER_PIECE = 512;
/** Each partition has a piece in private memory while rows are dealt out. */
const MOST_PARTITIONS = 1024;

/**
 * Joins two relations on equal keys, calling `emit` for each pair of rows, in no order; returns how many. Either may be
 * larger than private memory and have a key many times; `build` should be the smaller. Grace hash join (Kitsuregawa
 * et al., 1983): both are dealt into partitions by the hash of the key, then partition is joined with partition. It
 * takes as much again of the heap for the time it runs.
 */
export function hashJoin(
  build: Relation,
  probe: Relation,
  emit: (key: number, built: number, probed: number) => void,
  rowsAtOnce: number = ROWS_AT_ONCE,
): number {
  if (build.length % ROW !== 0 || probe.length % ROW !== 0) {
    throw new InvalidArgumentError('a relation has an even length: a key and a value for each row');
  }
  const hash = new KeyHash();
  const wanted = Math.ceil(build.length / ROW / rowsAtOnce);
  const partitions = Math.min(MOST_PARTITIONS, 2 ** Math.ceil(Math.log2(Math.max(1, wanted))));
  const table = new JoinTable(hash, rowsAtOnce);
  if (partitions === 1) return table.join(build, 0, build.length, probe, 0, probe.length, emit);
  using builds = new SecureArray(build.heap, 'f64', build.length);
  using probes = new SecureArray(probe.heap, 'f64', probe.length);
  const buildEnds = partition(build, builds, partitions, hash);
  const probeEnds = partition(probe, probes, partitions, hash);
  let rows = 0;
  for (let index = 0; index < partitions; index++) {
    const buildStart = index === 0 ? 0 : buildEnds[index - 1]!;
    const probeStart = index === 0 ? 0 : probeEnds[index - 1]!;
    rows += table.join(builds, buildStart, buildEnds[index]!, probes, probeStart, probeEnds[index]!, emit);
  }
  return rows;
}

/** Sorts rows by partition into `target`; returns where each partition ends. */
function partition(source: Relation, target: Relation, partitions: number, hash: KeyHash): Float64Array {
  const shift = 32 - Math.log2(partitions);
  const ends = new Float64Array(partitions);
  for (const chunk of source.chunks()) {
    for (let at = 0; at < chunk.length; at += ROW) ends[hash.ofNumber(chunk[at]! + 0) >>> shift]! += ROW;
  }
  for (let index = 1; index < partitions; index++) ends[index]! += ends[index - 1]!;
  const next = ends.map((_, index) => (index === 0 ? 0 : ends[index - 1]!));
  const room = ROWS_PER_PIECE * ROW;
  const pieces = Array.from({ length: partitions }, () => new Float64Array(room));
  const filled = new Int32Array(partitions);
  const flush = (index: number) => {
    target.write(next[index]!, pieces[index]!.subarray(0, filled[index]!));
    next[index]! += filled[index]!;
    filled[index] = 0;
  };
  for (const chunk of source.chunks()) {
    for (let at = 0; at < chunk.length; at += ROW) {
      const index = hash.ofNumber(chunk[at]! + 0) >>> shift;
      const piece = pieces[index]!;
      piece[filled[index]!] = chunk[at]!;
      piece[filled[index]! + 1] = chunk[at + 1]!;
      filled[index]! += ROW;
      if (filled[index] === room) flush(index);
    }
  }
  for (let index = 0; index < partitions; index++) flush(index);
  return ends;
}

/** Rows of one side, found by key: a list per bucket, by the numbers of the rows. */
class JoinTable {
  readonly #hash: KeyHash;
  readonly #rows: Float64Array<ArrayBuffer>;
  readonly #heads: Int32Array;
  readonly #following: Int32Array;
  readonly #piece = new Float64Array(ROWS_PER_PIECE * ROW);

  constructor(hash: KeyHash, rows: number) {
    this.#hash = hash;
    this.#rows = new Float64Array(rows * ROW);
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(rows)));
    this.#following = new Int32Array(rows);
  }

  /** A side with more rows than fit, as when many have one key, is taken in turns. */
  join(
    build: Relation,
    buildStart: number,
    buildEnd: number,
    probe: Relation,
    probeStart: number,
    probeEnd: number,
    emit: (key: number, built: number, probed: number) => void,
  ): number {
    let rows = 0;
    for (let from = buildStart; from < buildEnd; from += this.#rows.length) {
      this.#fill(build, from, Math.min(from + this.#rows.length, buildEnd));
      for (let at = probeStart; at < probeEnd; at += this.#piece.length) {
        const piece = this.#piece.subarray(0, Math.min(this.#piece.length, probeEnd - at));
        probe.read(at, piece);
        rows += this.#probe(piece, emit);
      }
    }
    return rows;
  }

  #fill(build: Relation, from: number, to: number): void {
    build.read(from, this.#rows.subarray(0, to - from));
    this.#heads.fill(-1);
    for (let row = 0; row < (to - from) / ROW; row++) {
      const bucket = this.#bucketOf(this.#rows[row * ROW]!);
      this.#following[row] = this.#heads[bucket]!;
      this.#heads[bucket] = row;
    }
  }

  #probe(piece: Float64Array, emit: (key: number, built: number, probed: number) => void): number {
    let rows = 0;
    for (let at = 0; at < piece.length; at += ROW) {
      const key = piece[at]!;
      for (let row = this.#heads[this.#bucketOf(key)]!; row >= 0; row = this.#following[row]!) {
        if (this.#rows[row * ROW] !== key) continue;
        emit(key, this.#rows[row * ROW + 1]!, piece[at + 1]!);
        rows++;
      }
    }
    return rows;
  }

  /** Adding 0 makes -0 the 0 that it is equal to. */
  #bucketOf(key: number): number {
    return this.#hash.ofNumber(key + 0) & (this.#heads.length - 1);
  }
}
