import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Enclave, Image, PinnedBuffer, PrivateBuffer, StreamEvent } from '../../src/index.ts';
import { buildProgram, withEnclave } from '../support/enclaves.ts';
import type * as program from './launches.program.ts';

/**
 * Random graphs of streams and events against a reference that knows which steps must come before which. Launches log
 * when they begin and end, and write their number into a word. A copy in takes that word and its own number
 * along into one private buffer; a copy out shows both. So what a copy out shows tells in which order all went.
 */
type Program = typeof program;
type Step =
  | { readonly kind: 'launch'; readonly stream: number; readonly turns: number }
  | { readonly kind: 'copyIn'; readonly stream: number }
  | { readonly kind: 'copyOut'; readonly stream: number; readonly isPinned: boolean }
  | { readonly kind: 'record'; readonly stream: number }
  | { readonly kind: 'wait'; readonly stream: number; readonly event: number };

const STREAMS = 4;
const STEPS_MAX = 40;
const WORD_BYTES = 4;
/** What the buffer holds: the number of a copy in, and that of a launch. */
const SHOWN_BYTES = 2 * WORD_BYTES;
/** What was there before any step. */
const NOTHING = -1;

const stream = fc.nat({ max: STREAMS - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('launch'), stream, turns: fc.nat({ max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('copyIn'), stream }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('copyOut'), stream, isPinned: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('record'), stream }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait'), stream, event: fc.nat() }) },
);

/** The reference: for each launch and copy, the launches and copies that must have ended before it begins. */
function requirements(steps: readonly Step[]): Set<number>[] {
  const done = Array.from({ length: STREAMS }, () => new Set<number>());
  const events: Set<number>[] = [];
  return steps.map((step, index) => {
    const before = done[step.stream]!;
    const required = new Set(before);
    if (step.kind === 'record') events.push(required);
    else if (step.kind === 'wait')
      for (const name of events[step.event % events.length] ?? []) before.add(name);
    else before.add(index);
    return required;
  });
}

interface Scene {
  readonly enclave: Enclave<Program>;
  readonly buffer: PrivateBuffer;
  readonly memory: PinnedBuffer;
  /** The word that launches write, then a word and room for what is shown for each step. */
  readonly words: Int32Array<SharedArrayBuffer>;
}

const NUMBERS = 1;
const SHOWN = NUMBERS + STEPS_MAX;

/** What each copy out showed, and the log of the launches. */
async function execute(scene: Scene, steps: readonly Step[]): Promise<{ shown: number[][]; log: string[] }> {
  const { enclave, buffer, memory, words } = scene;
  words.fill(NOTHING);
  await enclave.createStream().copyToEnclave(buffer, memory, {
    pieces: [{ bufferOffset: 0, hostOffset: 0, rowBytes: SHOWN_BYTES }],
  });
  const streams = Array.from({ length: STREAMS }, () => enclave.createStream());
  const events: StreamEvent[] = [];
  const shown: Int32Array[] = [];
  for (const [index, step] of steps.entries()) {
    const stream = streams[step.stream]!;
    if (step.kind === 'launch') {
      stream.launch('stamp', String(index), step.turns, { offset: memory.offset, bytes: WORD_BYTES }, index);
    } else if (step.kind === 'copyIn') {
      words[NUMBERS + index] = index;
      const hostOffset = (NUMBERS + index) * WORD_BYTES;
      stream.copyToEnclave(buffer, memory, {
        pieces: [
          { bufferOffset: 0, hostOffset, rowBytes: WORD_BYTES },
          { bufferOffset: WORD_BYTES, hostOffset: 0, rowBytes: WORD_BYTES },
        ],
      });
    } else if (step.kind === 'copyOut') {
      const first = SHOWN + 2 * index;
      shown[index] = step.isPinned ? words.subarray(first, first + 2) : new Int32Array(2);
      const pieces = [{ bufferOffset: 0, hostOffset: first * WORD_BYTES, rowBytes: SHOWN_BYTES }];
      if (step.isPinned) stream.copyFromEnclave(buffer, memory, { pieces });
      else stream.copyFromEnclave(buffer, new Uint8Array(shown[index]!.buffer));
    } else if (step.kind === 'record') events.push(stream.record());
    else if (events.length > 0) stream.wait(events[step.event % events.length]!);
  }
  await Promise.all(streams.map((stream) => stream.synchronize()));
  for (const event of events) assert.ok(event.query());
  return { shown: shown.map((numbers) => [...numbers]), log: await enclave.launch('takeLog') };
}

/** Whether a step may find what `seen` wrote: not later than itself, and nothing that was written over before it. */
function maySee(
  required: readonly Set<number>[],
  reader: number,
  seen: number,
  writers: readonly number[],
): boolean {
  const before = required[reader]!;
  if (seen === NOTHING) return !writers.some((writer) => before.has(writer));
  if (!writers.includes(seen) || required[seen]!.has(reader)) return false;
  return !writers.some((writer) => before.has(writer) && required[writer]!.has(seen));
}

test('any graph of launches, copies, streams and events runs in an order that it allows', async () => {
  const image: Image = await buildProgram('test/host/launches.program');
  await withEnclave<Program>(image, { pinnedBytes: 4_194_304 }, async (enclave) => {
    const buffer = await enclave.createBuffer(SHOWN_BYTES);
    const memory = enclave.pin((SHOWN + 2 * STEPS_MAX) * WORD_BYTES);
    const { buffer: boundary, byteOffset, length } = memory.bytes;
    const words = new Int32Array(boundary, byteOffset, length / WORD_BYTES);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: STEPS_MAX }), async (steps) => {
        const { shown, log } = await execute({ enclave, buffer, memory, words }, steps);
        const required = requirements(steps);
        const of = (kind: Step['kind']): number[] =>
          [...steps.keys()].filter((index) => steps[index]!.kind === kind);
        const [launches, copiesIn, copiesOut] = [of('launch'), of('copyIn'), of('copyOut')];
        assert.equal(log.length, 2 * launches.length);
        for (const index of launches) {
          for (const name of launches.filter((launch) => required[index]!.has(launch))) {
            assert.ok(log.indexOf(`-${name}`) < log.indexOf(`+${index}`), `${name} before ${index}: ${log}`);
          }
        }
        for (const index of copiesOut) {
          const [copy, launch] = shown[index] as [number, number];
          assert.ok(maySee(required, index, copy, copiesIn), `${index} shows copy ${copy}`);
          if (copy === NOTHING) assert.equal(launch, NOTHING);
          else assert.ok(maySee(required, copy, launch, launches), `copy ${copy} took what ${launch} wrote`);
        }
      }),
      { numRuns: 100 },
    );
  });
});
