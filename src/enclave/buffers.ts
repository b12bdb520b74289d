import { InvalidArgumentError, NotGrantedError, SgxioError } from '../errors.ts';
import { BUFFERS_MAX, PAGE_BYTES, SEALED_BLOCK_BYTES } from '../limits.ts';
import { BUFFER_BOOKS, BUFFER_WORDS, pagesTaken, privateMemory, withBooks } from './private-memory.ts';

/**
 * Private buffers: pieces of private memory that the copy engine fills and empties. A buffer is known by a
 * handle, a number that may cross to the host and back: what the host may do with it stands in a private table,
 * and a handle of a buffer that was freed names nothing ever after.
 *
 * While the program uses a buffer nothing is copied, and while something is copied the program does not get it,
 * whatever order the host launches things in.
 */
export interface BufferOptions {
  readonly bytes: number;
  /** What the host may copy: into the buffer (`write`), out of it (`read`), both, or nothing. */
  readonly host: 'none' | 'write' | 'read' | 'read-write';
  /** 32 bytes; with them, copies are sealed on their way, and the host carries what it cannot read. */
  readonly key?: Uint8Array<ArrayBuffer>;
}

/** Words of a buffer in the books. */
const GENERATION = 0;
/** How many use it; negative: how many copies are under way. */
const STATE = 1;
const RIGHTS = 2;
const START_PAGE = 3;
const PAGES = 4;
const BYTES = 5;
const IS_SEALED = 6;
const SEQUENCE_IN = 7;
const SEQUENCE_OUT = 8;
const IS_INCOMPLETE = 9;

/** What the host may do with a buffer: copy in, copy out, and free it, as who made it. */
export const Right = { write: 1, read: 2, free: 4 } as const;
const rightsOf = { none: 0, write: Right.write, read: Right.read, 'read-write': Right.write | Right.read };

const INDEX_MASK = BUFFERS_MAX - 1;
const INDEX_BITS = 8;
const GENERATION_MAX = 0x3f_ffff;
export const BUFFER_KEY_BYTES = 32;
/** Behind a sealed buffer's bytes: a block, and a page with the key, a nonce and a tag. */
const SEALING_PAGES: number = SEALED_BLOCK_BYTES / PAGE_BYTES + 1;

function words(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(privateMemory().books);
}

/** One buffer of the table, as the copy engine and the program see it. */
export class BufferEntry {
  readonly #words: Int32Array<SharedArrayBuffer> = words();
  readonly #entry: number;
  readonly handle: number;

  constructor(index: number, handle: number) {
    this.#entry = BUFFER_BOOKS + 1 + index * BUFFER_WORDS;
    this.handle = handle;
  }

  #get(word: number): number {
    return this.#words[this.#entry + word] as number;
  }

  get bytes(): number {
    return this.#get(BYTES) >>> 0;
  }

  get isSealed(): boolean {
    return this.#get(IS_SEALED) === 1;
  }

  get isIncomplete(): boolean {
    return this.#get(IS_INCOMPLETE) === 1;
  }

  allows(right: number): boolean {
    return (this.#get(RIGHTS) & right) !== 0;
  }

  /** Offset in private memory. */
  get start(): number {
    return this.#get(START_PAGE) * PAGE_BYTES;
  }

  /** Offsets in private memory of a block's room, and of the key with room for nonce and tag behind it. */
  get scratch(): { block: number; key: number } {
    const key = (this.#get(START_PAGE) + this.#get(PAGES) - 1) * PAGE_BYTES;
    return { block: key - SEALED_BLOCK_BYTES, key };
  }

  get lastSequenceIn(): number {
    return this.#get(SEQUENCE_IN);
  }

  /** Notes a block that came in; until the last of its transfer, the program does not get the buffer. */
  tookIn(sequence: number, isLast: boolean): void {
    this.#words[this.#entry + SEQUENCE_IN] = sequence;
    this.#words[this.#entry + IS_INCOMPLETE] = isLast ? 0 : 1;
  }

  nextSequenceOut(): number {
    return ++(this.#words as Int32Array)[this.#entry + SEQUENCE_OUT]!;
  }

  get view(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(privateMemory().buffer, this.start, this.bytes);
  }

  /** Takes the buffer for a use (`step` 1) or a copy (-1); false while it is taken for the other. */
  take(step: 1 | -1): boolean {
    const at = this.#entry + STATE;
    for (;;) {
      const state = Atomics.load(this.#words, at);
      if (state * step < 0) return false;
      if (Atomics.compareExchange(this.#words, at, state, state + step) === state) return true;
    }
  }

  giveBack(step: 1 | -1): void {
    Atomics.sub(this.#words, this.#entry + STATE, step);
  }

  get isTaken(): boolean {
    return Atomics.load(this.#words, this.#entry + STATE) !== 0;
  }

  get generation(): number {
    return this.#get(GENERATION);
  }

  get pages(): { start: number; end: number } {
    return { start: this.#get(START_PAGE), end: this.#get(START_PAGE) + this.#get(PAGES) };
  }

  /** Writes a new buffer down, under the lock of the books. */
  write(
    generation: number,
    start: number,
    pages: number,
    bytes: number,
    rights: number,
    isSealed: boolean,
  ): void {
    this.#words.set([generation, 0, rights, start, pages, bytes, isSealed ? 1 : 0, 0, 0, 0], this.#entry);
  }

  /** Forgets it, but for its generation. */
  erase(): void {
    const { start, end } = this.pages;
    new Uint8Array(privateMemory().buffer, start * PAGE_BYTES, (end - start) * PAGE_BYTES).fill(0);
    this.#words.fill(0, this.#entry + 1, this.#entry + BUFFER_WORDS);
  }
}

/** The buffer of a handle. */
function findBuffer(handle: unknown): BufferEntry {
  if (typeof handle === 'number' && Number.isInteger(handle) && handle > 0 && handle <= 0x7fff_ffff) {
    const entry = new BufferEntry(handle & INDEX_MASK, handle);
    if (entry.generation === handle >>> INDEX_BITS && entry.pages.end > 0) return entry;
  }
  throw misuse(`there is no buffer ${String(handle)}: it was freed, or never made`);
}

/** Takes a buffer for the program: nothing is copied, and it is not freed, until it is given back. */
function takeForUse(handle: number): BufferEntry {
  return withBooks(() => {
    const entry = findBuffer(handle);
    if (entry.take(1)) return entry;
    throw misuse(`something is being copied into buffer ${handle} or out of it`);
  });
}

/** Takes a buffer for a copy of the host's. */
export function takeForCopy(handle: unknown, right: number): BufferEntry {
  return withBooks(() => {
    const entry = findBuffer(handle);
    if (!entry.allows(right))
      throw new NotGrantedError(`the host may not copy so with buffer ${entry.handle}`);
    if (entry.take(-1)) return entry;
    throw misuse(`the program is using buffer ${entry.handle}; copy when it has done`);
  });
}

/** A buffer of the host's own, which copies both ways. */
export function createForHost(bytes: number): number {
  return createWith({ bytes, host: 'read-write' }, Right.free);
}

/** Frees a buffer that the host made. */
export function freeForHost(handle: number): void {
  if (!findBuffer(handle).allows(Right.free))
    throw new NotGrantedError(`buffer ${handle} is the program's: it frees it`);
  free(handle);
}

function create(options: BufferOptions): number {
  return createWith(options, 0);
}

function createWith({ bytes, host, key }: BufferOptions, moreRights: number): number {
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new InvalidArgumentError('a buffer has a byte at least');
  const rights = rightsOf[host];
  if (rights === undefined) throw new InvalidArgumentError(`'${host}' is nothing that a host may do`);
  if (key !== undefined && key.length !== BUFFER_KEY_BYTES)
    throw new InvalidArgumentError(`the key of a buffer has ${BUFFER_KEY_BYTES} bytes`);
  const pages = Math.ceil(bytes / PAGE_BYTES) + (key === undefined ? 0 : SEALING_PAGES);
  return withBooks(() => {
    const entries = Array.from({ length: BUFFERS_MAX }, (_, index) => new BufferEntry(index, 0));
    const index = entries.findIndex((entry) => entry.pages.end === 0);
    const start = findPages(entries, pages);
    if (index < 0 || start < 0) {
      throw new SgxioError(
        'SGXIO_MEMORY_EXHAUSTED',
        `there is no room for another private buffer of ${bytes} bytes: free some, or ask for more with privateMemoryBytes in the image`,
      );
    }
    const entry = entries[index] as BufferEntry;
    const generation = entry.generation >= GENERATION_MAX ? 1 : entry.generation + 1;
    entry.write(generation, start, pages, bytes, rights | moreRights, key !== undefined);
    if (key !== undefined) new Uint8Array(privateMemory().buffer).set(key, entry.scratch.key);
    setLowest(entries);
    return (generation << INDEX_BITS) | index;
  });
}

/** The highest run of free pages: buffers grow down from the end of memory, what is taken for good up from its start. */
function findPages(entries: readonly BufferEntry[], pages: number): number {
  const taken = entries
    .map((entry) => entry.pages)
    .filter(({ end }) => end > 0)
    .sort((left, right) => right.start - left.start);
  let end = privateMemory().buffer.byteLength / PAGE_BYTES;
  for (const buffer of taken) {
    if (end - buffer.end >= pages) return end - pages;
    end = buffer.start;
  }
  return end - pagesTaken() >= pages ? end - pages : -1;
}

function setLowest(entries: readonly BufferEntry[]): void {
  const end = privateMemory().buffer.byteLength / PAGE_BYTES;
  const starts = entries.filter((entry) => entry.pages.end > 0).map((entry) => entry.pages.start);
  words()[BUFFER_BOOKS] = end - Math.min(end, ...starts);
}

function free(handle: number): void {
  withBooks(() => {
    const entry = findBuffer(handle);
    if (entry.isTaken)
      throw misuse(`buffer ${handle} is in use, or something is being copied; free it later`);
    entry.erase();
    setLowest(Array.from({ length: BUFFERS_MAX }, (_, index) => new BufferEntry(index, 0)));
  });
}

/**
 * Lends the bytes of a buffer for as long as `run` takes, its promise included. Fails with SGXIO_MEMORY_MISUSE
 * when the buffer was freed, while something is copied, and while a sealed transfer has not come in whole.
 */
function use<Result>(handle: number, run: (bytes: Uint8Array<ArrayBuffer>) => Result): Result {
  const entry = takeForUse(handle);
  let isLent = false;
  try {
    if (entry.isIncomplete) throw incomplete(handle);
    const result = run(entry.view);
    if (result instanceof Promise) {
      isLent = true;
      return result.finally(() => entry.giveBack(1)) as Result;
    }
    return result;
  } finally {
    if (!isLent) entry.giveBack(1);
  }
}

/** How many buffers there are, to find those that nobody freed. */
function count(): number {
  return Array.from({ length: BUFFERS_MAX }, (_, index) => new BufferEntry(index, 0)).filter(
    (entry) => entry.pages.end > 0,
  ).length;
}

export function incomplete(handle: number): SgxioError {
  return misuse(`not all of a sealed transfer into buffer ${handle} has come in`);
}

function misuse(message: string): SgxioError {
  return new SgxioError('SGXIO_MEMORY_MISUSE', message);
}

export const buffers: {
  /** Makes a buffer, zeroed, and returns its handle. */
  readonly create: (options: BufferOptions) => number;
  readonly use: typeof use;
  /** Wipes a buffer and gives its memory back. */
  readonly free: (handle: number) => void;
  readonly count: () => number;
} = { create, use, free, count };
