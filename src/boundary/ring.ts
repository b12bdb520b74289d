import { RING_ACKNOWLEDGE_EVERY } from '../limits.ts';

/**
 * One-way rings of fixed entries, one writer and one reader each.
 *
 * An entry carries its own sequence number, written last: position + 1, as a 32-bit word that wraps. The
 * reader looks at the entry itself, so an entry crosses between the cores as one cache line and no index is
 * shared on the way (FastForward, PPoPP'08, gives the idea). The reader publishes how far it has read only
 * now and then, for the writer to know which entries are free.
 *
 * Positions are private to each side; what the other side says of its own is a hint that is checked.
 */
const SUBMISSION_SHIFT = 4;
const COMPLETION_SHIFT = 3;

/** The words of a submission, from its start. */
export const SubmissionWord = {
  sequence: 0,
  kind: 1,
  id: 2,
  handle: 3,
  payload: 4,
  length: 5,
  a0: 6,
  a1: 7,
  a2: 8,
  a3: 9,
  a4: 10,
  a5: 11,
  timeout: 12,
} as const;

/** Where a ring lies and where it begins to count. */
export interface RingPlace {
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Byte offset of the first entry. */
  readonly entries: number;
  /** Entries of the ring: a power of two. */
  readonly size: number;
  /** Byte offset of the word in which the reader says how many entries it has taken. */
  readonly taken: number;
  /** The position to go on from: zero, but for a reader or writer that replaces another, or to try 2^32. */
  readonly start?: number;
}

/** Makes every entry of a ring unread where it does not start at zero (untouched memory is a ring at zero). */
export function prepareRing(place: RingPlace, entryBytes: number): void {
  const start = (place.start ?? 0) | 0;
  for (let index = 0; index < place.size; index++) {
    const position = (start + index) | 0;
    const entry = (place.entries + (position & (place.size - 1)) * entryBytes) >> 2;
    Atomics.store(place.words, entry, (position + 1 - place.size) | 0);
  }
  Atomics.store(place.words, place.taken >> 2, start);
}

/** What the writers of both entry sizes share: how far they are and what the reader has said it took. */
class RingWriter {
  protected readonly words: Int32Array<SharedArrayBuffer>;
  protected readonly first: number;
  protected readonly mask: number;
  protected position: number;
  readonly #takenWord: number;
  #taken: number;

  constructor(place: RingPlace) {
    this.words = place.words;
    this.first = place.entries >> 2;
    this.mask = place.size - 1;
    this.position = (place.start ?? 0) | 0;
    this.#takenWord = place.taken >> 2;
    this.#taken = this.position;
  }

  /** Entries written so far, as a 32-bit count that wraps. */
  get written(): number {
    return this.position;
  }

  /** Takes the ring for full until the reader says otherwise, for a writer that takes over a ring in use. */
  protected assumeFull(): void {
    this.#taken = (this.position - this.mask - 1) | 0;
  }

  /** Whether one more entry fits. A reader that claims more than was written, or less than before, frees nothing. */
  hasRoom(): boolean {
    if (((this.position - this.#taken) | 0) <= this.mask) return true;
    return this.#refresh();
  }

  #refresh(): boolean {
    const hint = Atomics.load(this.words, this.#takenWord);
    const more = (hint - this.#taken) | 0;
    if (more > 0 && more <= ((this.position - this.#taken) | 0)) this.#taken = hint;
    return ((this.position - this.#taken) | 0) <= this.mask;
  }
}

/** What the readers of both entry sizes share. */
class RingReader {
  protected readonly words: Int32Array<SharedArrayBuffer>;
  protected readonly first: number;
  protected readonly mask: number;
  protected position: number;
  readonly #takenWord: number;

  constructor(place: RingPlace) {
    this.words = place.words;
    this.first = place.entries >> 2;
    this.mask = place.size - 1;
    this.position = (place.start ?? 0) | 0;
    this.#takenWord = place.taken >> 2;
  }

  /** Entries taken so far, as a 32-bit count that wraps. */
  get taken(): number {
    return this.position;
  }

  protected advance(): void {
    const position = (this.position + 1) | 0;
    this.position = position;
    if ((position & (RING_ACKNOWLEDGE_EVERY - 1)) === 0) Atomics.store(this.words, this.#takenWord, position);
  }

  /** Says now how far this side has read, for a reader about to sleep. */
  acknowledge(): void {
    Atomics.store(this.words, this.#takenWord, this.position);
  }
}

/** Writes submissions (or launches): 13 words an entry. */
export class SubmissionWriter extends RingWriter {
  /** Publishes one entry; the caller has asked `hasRoom()`. All words are written, so nothing old shows. */
  write(
    kind: number,
    id: number,
    handle: number,
    payload: number,
    length: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    a4: number,
    a5: number,
    timeout: number,
  ): void {
    const position = this.position;
    const entry = this.first + ((position & this.mask) << SUBMISSION_SHIFT);
    const words = this.words;
    words[entry + 1] = kind;
    words[entry + 2] = id;
    words[entry + 3] = handle;
    words[entry + 4] = payload;
    words[entry + 5] = length;
    words[entry + 6] = a0;
    words[entry + 7] = a1;
    words[entry + 8] = a2;
    words[entry + 9] = a3;
    words[entry + 10] = a4;
    words[entry + 11] = a5;
    words[entry + 12] = timeout;
    const next = (position + 1) | 0;
    this.position = next;
    Atomics.store(words, entry, next);
  }
}

/** One submission as its reader holds it: a private copy, each word read once. */
export class Request {
  kind = 0;
  id = 0;
  handle = 0;
  payload = 0;
  length = 0;
  a0 = 0;
  a1 = 0;
  a2 = 0;
  a3 = 0;
  a4 = 0;
  a5 = 0;
  timeout = 0;
}

export class SubmissionReader extends RingReader {
  /** Copies the next submission into `request`, each word read once; false when there is none yet. */
  read(request: Request): boolean {
    const entry = this.first + ((this.position & this.mask) << SUBMISSION_SHIFT);
    const words = this.words;
    if (Atomics.load(words, entry) !== ((this.position + 1) | 0)) return false;
    request.kind = words[entry + 1] as number;
    request.id = words[entry + 2] as number;
    request.handle = words[entry + 3] as number;
    request.payload = words[entry + 4] as number;
    request.length = words[entry + 5] as number;
    request.a0 = words[entry + 6] as number;
    request.a1 = words[entry + 7] as number;
    request.a2 = words[entry + 8] as number;
    request.a3 = words[entry + 9] as number;
    request.a4 = words[entry + 10] as number;
    request.a5 = words[entry + 11] as number;
    request.timeout = words[entry + 12] as number;
    this.advance();
    return true;
  }

  /** The id of the submission that {@link read} would take, if one waits. */
  get nextId(): number {
    return this.words[
      this.first + ((this.position & this.mask) << SUBMISSION_SHIFT) + SubmissionWord.id
    ] as number;
  }

  /** Whether a submission waits, without taking it. */
  waiting(): boolean {
    const entry = this.first + ((this.position & this.mask) << SUBMISSION_SHIFT);
    return Atomics.load(this.words, entry) === ((this.position + 1) | 0);
  }
}

/** Writes completions (or outcomes): the id they answer, a result, two more words. */
export class CompletionWriter extends RingWriter {
  /** Publishes one entry; the caller has asked `hasRoom()`. */
  write(id: number, result: number, extra0: number, extra1: number): void {
    const position = this.position;
    const entry = this.first + ((position & this.mask) << COMPLETION_SHIFT);
    const words = this.words;
    words[entry + 1] = id;
    words[entry + 2] = result;
    words[entry + 3] = extra0;
    words[entry + 4] = extra1;
    const next = (position + 1) | 0;
    this.position = next;
    Atomics.store(words, entry, next);
  }

  /** Takes over from a writer that may have published more than `start` says, and tells the id of each such entry. */
  resume(onPublished: (id: number) => void): void {
    for (let count = 0; count <= this.mask; count++) {
      const entry = this.first + ((this.position & this.mask) << COMPLETION_SHIFT);
      const next = (this.position + 1) | 0;
      if (Atomics.load(this.words, entry) !== next) break;
      this.position = next;
      onPublished(this.words[entry + 1] as number);
    }
    this.assumeFull();
  }
}

export class CompletionReader extends RingReader {
  /** The last completion taken, each word read once. */
  id = 0;
  result = 0;
  extra0 = 0;
  extra1 = 0;

  /** Takes the next completion into the fields above; false when there is none yet. */
  read(): boolean {
    const entry = this.first + ((this.position & this.mask) << COMPLETION_SHIFT);
    const words = this.words;
    if (Atomics.load(words, entry) !== ((this.position + 1) | 0)) return false;
    this.id = words[entry + 1] as number;
    this.result = words[entry + 2] as number;
    this.extra0 = words[entry + 3] as number;
    this.extra1 = words[entry + 4] as number;
    this.advance();
    return true;
  }

  /** Whether a completion waits, without taking it. */
  waiting(): boolean {
    const entry = this.first + ((this.position & this.mask) << COMPLETION_SHIFT);
    return Atomics.load(this.words, entry) === ((this.position + 1) | 0);
  }
}
