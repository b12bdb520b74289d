import { InvalidArgumentError, SgxioError } from '../errors.ts';
import { BUFFERS_MAX, NAME_LENGTH_MAX, PAGE_BYTES, SHARED_REGIONS_MAX } from '../limits.ts';
import { type AesGcm, createAesGcm } from '../linux/openssl.ts';

export type { AesGcm };

/** A piece of this enclave's private memory: bytes that no other process can read, root's included. */
export interface PrivateRegion {
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The private memory of the process and its books, which all of its threads write. */
export interface PrivateMemory {
  readonly address: number;
  readonly buffer: ArrayBuffer;
  readonly books: SharedArrayBuffer;
}

/** Words of the first page that a buffer has, from the end of memory (0: none), and of each buffer. */
export const BUFFER_WORDS = 10;
const BUFFER_BOOKS_WORDS: number = 1 + BUFFERS_MAX * BUFFER_WORDS;

/** Words of the books: a lock, pages taken, shared regions; then for each region its first page, bytes and name. */
const LOCK = 0;
const PAGES_TAKEN = 1;
const REGIONS = 2;
const FIRST_REGION = 3;
const REGION_START = 0;
const REGION_PAGES = 1;
const REGION_NAME = 2;
const REGION_WORDS: number = REGION_NAME + NAME_LENGTH_MAX;
/** Where in the books the table of buffers begins. */
export const BUFFER_BOOKS: number = FIRST_REGION + SHARED_REGIONS_MAX * REGION_WORDS;

export function createBooks(): SharedArrayBuffer {
  return new SharedArrayBuffer((BUFFER_BOOKS + BUFFER_BOOKS_WORDS) * 4);
}

let memory: PrivateMemory = { address: 0, buffer: new ArrayBuffer(0), books: createBooks() };
let books = new Int32Array(memory.books);

export function privateMemory(): PrivateMemory {
  return memory;
}

/** Sets the mapping that regions are taken from; once on each thread, before the program is loaded. */
export function setPrivateMemory(mapping: PrivateMemory): void {
  memory = mapping;
  books = new Int32Array(mapping.books);
}

/**
 * Takes `bytes` of private memory, for good: tables, keys and caches are made once, when a program starts. Fails
 * with SGXIO_MEMORY_EXHAUSTED when less is left of what the image asked for. Whole pages are taken.
 */
export function takePrivateMemory(bytes: number): PrivateRegion {
  return withBooks(() => {
    const pages = takePages(bytes);
    return regionAt(pages.start, pages.count);
  });
}

/**
 * The region of that name, the same bytes on every thread: the first to ask takes it, zeroed, and later ones must
 * ask for as much. Threads that write it together use `Atomics` on typed arrays over it.
 */
export function sharedRegion(name: string, bytes: number): PrivateRegion {
  if (name.length === 0 || name.length > NAME_LENGTH_MAX)
    throw new InvalidArgumentError(`a region's name has 1 to ${NAME_LENGTH_MAX} characters`);
  return withBooks(() => {
    const count = books[REGIONS] as number;
    for (let index = 0; index < count; index++) {
      const entry = FIRST_REGION + index * REGION_WORDS;
      if (nameAt(entry) !== name) continue;
      const pages = books[entry + REGION_PAGES] as number;
      if (pages !== pagesOf(bytes)) {
        throw new InvalidArgumentError(
          `the region '${name}' has ${pages * PAGE_BYTES} bytes; ask for as much on every thread`,
        );
      }
      return regionAt(books[entry + REGION_START] as number, pages);
    }
    if (count === SHARED_REGIONS_MAX)
      throw new SgxioError(
        'SGXIO_MEMORY_EXHAUSTED',
        `there are ${SHARED_REGIONS_MAX} shared regions already`,
      );
    const pages = takePages(bytes);
    const entry = FIRST_REGION + count * REGION_WORDS;
    books[entry + REGION_START] = pages.start;
    books[entry + REGION_PAGES] = pages.count;
    for (let index = 0; index < name.length; index++)
      books[entry + REGION_NAME + index] = name.charCodeAt(index);
    books[REGIONS] = count + 1;
    return regionAt(pages.start, pages.count);
  });
}

function nameAt(entry: number): string {
  const codes = books.subarray(entry + REGION_NAME, entry + REGION_WORDS);
  const length = codes.indexOf(0);
  return String.fromCharCode(...(length < 0 ? codes : codes.subarray(0, length)));
}

function takePages(bytes: number): { start: number; count: number } {
  const count = pagesOf(bytes);
  const start = books[PAGES_TAKEN] as number;
  const left = memory.buffer.byteLength / PAGE_BYTES - start - (books[BUFFER_BOOKS] as number);
  if (!(bytes > 0) || count > left) {
    throw new SgxioError(
      'SGXIO_MEMORY_EXHAUSTED',
      `${left * PAGE_BYTES} bytes of private memory are left, too few for ${bytes}: ask for more with privateMemoryBytes in the image`,
    );
  }
  books[PAGES_TAKEN] = start + count;
  return { start, count };
}

/** Pages that were taken for good: they lie below all buffers. */
export function pagesTaken(): number {
  return books[PAGES_TAKEN] as number;
}

function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES);
}

function regionAt(start: number, pages: number): PrivateRegion {
  return {
    address: memory.address + start * PAGE_BYTES,
    bytes: new Uint8Array(memory.buffer, start * PAGE_BYTES, pages * PAGE_BYTES),
  };
}

/** Only threads of the enclave hold this lock, each for an instant; the host does not reach it. */
export function withBooks<Result>(run: () => Result): Result {
  while (Atomics.compareExchange(books, LOCK, 0, 1) !== 0) Atomics.wait(books, LOCK, 1);
  try {
    return run();
  } finally {
    Atomics.store(books, LOCK, 0);
    Atomics.notify(books, LOCK, 1);
  }
}

/**
 * AES-GCM with a key that lies in private memory, over all of this enclave's private memory: operands are
 * offsets from its start, which is where `region.bytes.byteOffset` counts from. The key has 16 or 32 bytes.
 */
export function createPrivateCipher(key: Uint8Array<ArrayBuffer>): AesGcm {
  if (key.buffer !== memory.buffer || (key.length !== 16 && key.length !== 32)) {
    throw new InvalidArgumentError(
      'a private cipher needs a key of 16 or 32 bytes that lies in private memory',
    );
  }
  const cipher = createAesGcm(memory, key.length);
  cipher.setKey(key.byteOffset);
  return cipher;
}
