import { LaunchKind, launchRing, launchRoom } from '../../src/boundary/launch.ts';
import { type ChannelLayout, channelLayout, SUBMISSION_BYTES } from '../../src/boundary/layout.ts';
import { SubmissionWord } from '../../src/boundary/ring.ts';
import type { ServiceFactory } from '../../src/index.ts';
import { LAUNCH_PAYLOAD_MAX } from '../../src/limits.ts';

/** A host that does what it likes to the launches of the first thread while a call of the program is served. */
export type Lie = string;

type Words = Int32Array<SharedArrayBuffer>;
type Changes = Partial<Record<keyof typeof SubmissionWord, number>>;

const layout = channelLayout(0);
/** Of slots that no launch of the tests has come to, and of the first. */
export const FRESH_ID: number = (1 << 8) | 200;
const FIRST_ID = 1 << 8;

/** Submits one more launch behind those that are there: the last one again, but for the changes. */
export function submit(words: Words, changes: Changes, channel: ChannelLayout = layout): void {
  const { entries, size } = launchRing(words, channel);
  const entryAt = (position: number): number => (entries + (position % size) * SUBMISSION_BYTES) >> 2;
  let position = 0;
  while (words[entryAt(position)] === position + 1) position++;
  const entry = entryAt(position);
  for (let word = 1; word < SUBMISSION_BYTES / 4; word++) {
    words[entry + word] = words[entryAt(position - 1) + word] as number;
  }
  for (const [name, value] of Object.entries(changes)) {
    words[entry + SubmissionWord[name as keyof typeof SubmissionWord]] = value;
  }
  Atomics.store(words, entry, position + 1);
}

const lies: Readonly<Record<string, (words: Words) => void>> = {
  'changes the arguments of all launches': (words: Words) => {
    const end = layout.arena;
    new Uint8Array(words.buffer).fill(0xff, launchRoom(layout, 0, 1), end);
  },
  'submits a launch that runs again': (words: Words) => submit(words, {}),
  'submits a launch that is answered again': (words: Words) => submit(words, { id: FIRST_ID }),
  'launches what is not exported': (words: Words) => submit(words, { id: FRESH_ID, handle: 1000 }),
  'launches a negative function': (words: Words) => submit(words, { id: FRESH_ID, handle: -1 }),
  'claims too long arguments': (words: Words) =>
    submit(words, { id: FRESH_ID, length: LAUNCH_PAYLOAD_MAX + 1 }),
  'claims arguments of a negative length': (words: Words) => submit(words, { id: FRESH_ID, length: -1 }),
  'names a priority that there is not': (words: Words) => submit(words, { id: FRESH_ID, a0: 3 }),
  'names a kind that there is not': (words: Words) => submit(words, { id: FRESH_ID, kind: 77 }),
  'names a launch of generation zero': (words: Words) => submit(words, { id: 200 }),
  'gives up launches that there are not': (words: Words) => {
    for (const a0 of [0, -1, FRESH_ID, FIRST_ID, 0x7fff_ffff]) submit(words, { kind: LaunchKind.cancel, a0 });
  },
  'sends arguments that are no encoding': (words: Words) => {
    const room = launchRoom(layout, 200, 4);
    new Uint8Array(words.buffer).fill(0xff, room, room + 4);
    submit(words, { id: FRESH_ID, length: 4 });
  },
};

const createServices: ServiceFactory = (data, words) => ({
  clock: (executor, request) => {
    lies[data as Lie]?.(words);
    executor.complete(request.id, 0, 1, 0);
  },
});

export default createServices;
