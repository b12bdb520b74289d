import { ELEMENTS, type Element, type ElementKind, type ElementsOf, SecureArray } from './array.ts';

/** Private memory that sorting takes beside the cache: as large as a run that is sorted at once. */
const SCRATCH_BYTES = 4 * 2 ** 20;
/** What is read of a run at a time, and so how many runs can be merged at once. */
const STREAM_BYTES = 8192;

/** A typed array, without the ways in which those of numbers and of big integers differ. */
interface Buffer<E> {
  [index: number]: E;
  readonly length: number;
}

/**
 * Sorts an array that may be larger than private memory, in the order of `TypedArray.prototype.sort`: ascending, -0
 * before 0, NaN last. External merge sort (Knuth, 5.4): runs that fit in `scratchBytes` are sorted one by one, then
 * merged. It takes as much again of the heap, for the time it runs, when there is more than one run.
 */
export function sort<K extends ElementKind>(
  array: SecureArray<K>,
  scratchBytes: number = SCRATCH_BYTES,
): void {
  const run = Math.floor(scratchBytes / ELEMENTS[array.kind].BYTES_PER_ELEMENT);
  sortRuns(array, run);
  if (array.length <= run) return;
  using target = new SecureArray(array.heap, array.kind, array.length);
  const fanIn = Math.max(2, Math.floor(scratchBytes / STREAM_BYTES) - 1);
  for (let length = run; length < array.length; length *= fanIn) {
    for (let from = 0; from < array.length; from += length * fanIn) {
      mergeRuns(array, target, from, length, Math.min(array.length, from + length * fanIn));
    }
    array.exchange(target);
  }
}

function sortRuns<K extends ElementKind>(array: SecureArray<K>, run: number): void {
  const scratch = new ELEMENTS[array.kind](
    new ArrayBuffer(ELEMENTS[array.kind].BYTES_PER_ELEMENT * run),
    0,
    run,
  );
  for (let from = 0; from < array.length; from += run) {
    const part = scratch.subarray(0, Math.min(run, array.length - from)) as ElementsOf<K>;
    array.read(from, part);
    part.sort();
    array.write(from, part);
  }
}

/** Merges the sorted runs of `length` between `from` and `to` into the same place of `target`. */
function mergeRuns<K extends ElementKind>(
  source: SecureArray<K>,
  target: SecureArray<K>,
  from: number,
  length: number,
  to: number,
): void {
  const streams: Stream<K>[] = [];
  for (let start = from; start < to; start += length) {
    streams.push(new Stream(source, start, Math.min(start + length, to)));
  }
  const room = streams[0]!.buffer.length;
  const piece = new ELEMENTS[source.kind](new ArrayBuffer(STREAM_BYTES), 0, room) as ElementsOf<K>;
  const merged = piece as Buffer<unknown> as Buffer<Element<K>>;
  const tree = new LoserTree(streams);
  let count = 0;
  let written = from;
  for (let stream = tree.winner; !stream.ended; stream = tree.replay()) {
    merged[count++] = stream.head;
    stream.advance();
    if (count < room) continue;
    target.write(written, piece);
    written += count;
    count = 0;
  }
  target.write(written, piece.subarray(0, count) as ElementsOf<K>);
}

/** A sorted run, read a piece at a time. */
class Stream<K extends ElementKind> {
  readonly buffer: ElementsOf<K> & Buffer<Element<K>>;
  readonly #source: SecureArray<K>;
  readonly #end: number;
  #next: number;
  #at = 0;
  #filled = 0;
  head!: Element<K>;
  ended = false;

  constructor(source: SecureArray<K>, from: number, to: number) {
    const room = STREAM_BYTES / ELEMENTS[source.kind].BYTES_PER_ELEMENT;
    this.buffer = new ELEMENTS[source.kind](new ArrayBuffer(STREAM_BYTES), 0, room) as typeof this.buffer;
    this.#source = source;
    this.#next = from;
    this.#end = to;
    this.advance();
  }

  advance(): void {
    if (this.#at === this.#filled) this.#fill();
    if (!this.ended) this.head = this.buffer[this.#at++]!;
  }

  #fill(): void {
    this.#filled = Math.min(this.buffer.length, this.#end - this.#next);
    this.ended = this.#filled === 0;
    this.#source.read(this.#next, this.buffer.subarray(0, this.#filled) as ElementsOf<K>);
    this.#next += this.#filled;
    this.#at = 0;
  }
}

/** Finds the least head of many streams with one comparison per level (Knuth, 5.4.1: a tree of losers). */
class LoserTree<K extends ElementKind> {
  readonly #streams: readonly Stream<K>[];
  /** At 0 the stream that wins; at every other node the one that lost there. */
  readonly #nodes: Int32Array;

  constructor(streams: readonly Stream<K>[]) {
    this.#streams = streams;
    this.#nodes = new Int32Array(streams.length).fill(-1);
    for (let stream = 0; stream < streams.length; stream++) this.#play(stream);
  }

  get winner(): Stream<K> {
    return this.#streams[this.#nodes[0]!]!;
  }

  /** After the winner advanced: who wins now. */
  replay(): Stream<K> {
    this.#play(this.#nodes[0]!);
    return this.winner;
  }

  #play(stream: number): void {
    let winner = stream;
    for (let node = (stream + this.#streams.length) >> 1; node > 0; node >>= 1) {
      const other = this.#nodes[node]!;
      if (other < 0) {
        // Half of the matches of the first round wait here for the other half.
        this.#nodes[node] = winner;
        return;
      }
      if (precedes(this.#streams[other]!, this.#streams[winner]!)) {
        this.#nodes[node] = winner;
        winner = other;
      }
    }
    this.#nodes[0] = winner;
  }
}

function precedes<K extends ElementKind>(one: Stream<K>, other: Stream<K>): boolean {
  if (one.ended || other.ended) return !one.ended;
  const a = one.head;
  const b = other.head;
  if (a < b) return true;
  if (a > b) return false;
  if (a === b) return a === 0 && Object.is(a, -0) && !Object.is(b, -0);
  return Number.isNaN(b) && !Number.isNaN(a);
}
