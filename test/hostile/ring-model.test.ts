import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CompletionReader,
  CompletionWriter,
  prepareRing,
  Request,
  type RingPlace,
  SubmissionReader,
  SubmissionWriter,
} from '../../src/boundary/ring.ts';
import {
  type Exploration,
  explore,
  keyOfWord,
  mark,
  retry,
  simulatedWords,
  withSimulatedAtomics,
} from './explore.ts';

/**
 * All interleavings of the two ends of a small ring, word by word, in the real code. What the reader takes is
 * what was written, whole, once and in order, and both ends come to their end.
 */
const ENTRY_WORDS = { submission: 16, completion: 8 } as const;

interface Ring {
  readonly size: number;
  readonly start: number;
  readonly entries: number;
}

type Kind = keyof typeof ENTRY_WORDS;

function placeOf({ size, start }: Ring, words: Int32Array<SharedArrayBuffer>): RingPlace {
  return { words, entries: 128, size, taken: 0, start };
}

/** Memory as it is before: of a ring that has come to its start, whose entries hold what was read long ago. */
function memoryBefore(kind: Kind, ring: Ring, words: Int32Array<SharedArrayBuffer>): Map<string, number> {
  const real = new Int32Array(new SharedArrayBuffer(words.length * 4));
  prepareRing(placeOf(ring, real), ENTRY_WORDS[kind] * 4);
  return new Map([...real].map((value, index) => [keyOfWord(words, index), value]));
}

function field(entry: number, word: number): number {
  return (entry + 1) * 100 + word;
}

function writeSubmission(writer: SubmissionWriter, entry: number): void {
  const of = (word: number): number => field(entry, word);
  writer.write(of(1), of(2), of(3), of(4), of(5), of(6), of(7), of(8), of(9), of(10), of(11), of(12));
}

function checkSubmission(request: Request, entry: number): void {
  const { kind, id, handle, payload, length, a0, a1, a2, a3, a4, a5, timeout } = request;
  const got = [kind, id, handle, payload, length, a0, a1, a2, a3, a4, a5, timeout];
  assert.deepEqual(
    got,
    got.map((_, index) => field(entry, index + 1)),
    `entry ${entry} is torn, lost or doubled`,
  );
}

function exploreSubmissions(ring: Ring, waitsForRoom = true): Exploration {
  const words = simulatedWords(32 + ring.size * ENTRY_WORDS.submission);
  const place = placeOf(ring, words);
  const write = (): void => {
    const writer = new SubmissionWriter(place);
    for (let entry = 0; entry < ring.entries; entry++) {
      const from = mark();
      if (waitsForRoom && !writer.hasRoom()) retry(from);
      writeSubmission(writer, entry);
    }
  };
  const read = (): void => {
    const reader = new SubmissionReader(place);
    const request = new Request();
    for (let entry = 0; entry < ring.entries; entry++) {
      const from = mark();
      if (!reader.read(request)) {
        reader.acknowledge();
        retry(from);
      }
      checkSubmission(request, entry);
    }
  };
  const memory = memoryBefore('submission', ring, words);
  return withSimulatedAtomics(() => explore([write, read], memory));
}

function exploreCompletions(ring: Ring): Exploration {
  const words = simulatedWords(32 + ring.size * ENTRY_WORDS.completion);
  const place = placeOf(ring, words);
  const write = (): void => {
    const writer = new CompletionWriter(place);
    for (let entry = 0; entry < ring.entries; entry++) {
      const from = mark();
      if (!writer.hasRoom()) retry(from);
      writer.write(field(entry, 1), field(entry, 2), field(entry, 3), field(entry, 4));
    }
  };
  const read = (): void => {
    const reader = new CompletionReader(place);
    for (let entry = 0; entry < ring.entries; entry++) {
      const from = mark();
      if (!reader.read()) {
        reader.acknowledge();
        retry(from);
      }
      const { id, result, extra0, extra1 } = reader;
      assert.deepEqual(
        [id, result, extra0, extra1],
        [1, 2, 3, 4].map((word) => field(entry, word)),
      );
    }
  };
  const memory = memoryBefore('completion', ring, words);
  return withSimulatedAtomics(() => explore([write, read], memory));
}

const rings: readonly Ring[] = [
  { size: 2, start: 0, entries: 4 },
  { size: 2, start: -2, entries: 4 },
  { size: 2, start: -1, entries: 4 },
  { size: 2, start: 0x7fff_fffe, entries: 4 },
  { size: 4, start: -3, entries: 6 },
  { size: 4, start: 62, entries: 6 },
];

for (const ring of rings) {
  const name = `${ring.entries} entries through ${ring.size} slots from ${ring.start >>> 0}`;
  test(`R17 R18 ${name}: submissions`, (context) => {
    const { states, steps, endings } = exploreSubmissions(ring);
    context.diagnostic(`${states} states, ${steps} steps`);
    assert.ok(endings > 0);
  });

  test(`R17 R18 ${name}: completions`, (context) => {
    const { states, steps, endings } = exploreCompletions(ring);
    context.diagnostic(`${states} states, ${steps} steps`);
    assert.ok(endings > 0);
  });
}

test('the exploration finds a writer that does not wait for room', () => {
  assert.throws(
    () => exploreSubmissions({ size: 2, start: 0, entries: 4 }, false),
    /torn, lost or doubled|no way/,
  );
});

test('R17 ten thousand entries cross the wrap of the 32-bit counters', () => {
  const words = new Int32Array(new SharedArrayBuffer(4096 * 4));
  const place: RingPlace = { words, entries: 128, size: 64, taken: 0, start: -5000 };
  prepareRing(place, 64);
  const writer = new SubmissionWriter(place);
  const reader = new SubmissionReader(place);
  const request = new Request();
  let taken = 0;
  for (let written = 0; written < 10_000; ) {
    while (written < 10_000 && writer.hasRoom()) writeSubmission(writer, written++);
    for (; reader.read(request); taken++) checkSubmission(request, taken);
    reader.acknowledge();
  }
  assert.equal(taken, 10_000);
  assert.equal(reader.taken, 5000);
});
