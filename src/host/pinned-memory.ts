import { InvalidArgumentError, SgxioError } from '../errors.ts';
import { PAGE_BYTES } from '../limits.ts';

/**
 * Memory of the host that the enclave's copy engine reaches itself: what lies in it is copied once, not twice.
 * Both sides write it, and so may anyone who has the boundary.
 */
export interface PinnedBuffer {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** Where it lies in pinned memory, for a program that copies by itself. */
  readonly offset: number;
  /** Gives it back. Its bytes are not to be used any more. */
  free(): void;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Gives out pinned memory, in pages. */
export class PinnedMemory {
  readonly #buffer: SharedArrayBuffer;
  readonly #start: number;
  readonly #bytes: number;
  /** Sorted by where they start. */
  readonly #taken: Range[] = [];

  /** Pinned memory is the last `bytes` of the boundary. */
  constructor(boundary: SharedArrayBuffer, bytes: number) {
    this.#buffer = boundary;
    this.#start = boundary.byteLength - bytes;
    this.#bytes = bytes;
  }

  take(bytes: number): PinnedBuffer {
    if (!Number.isSafeInteger(bytes) || bytes <= 0)
      throw new InvalidArgumentError('a pinned buffer has a byte at least');
    const pages = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    let start = 0;
    let index = 0;
    for (; index < this.#taken.length; index++) {
      const range = this.#taken[index] as Range;
      if (range.start - start >= pages) break;
      start = range.end;
    }
    if (start + pages > this.#bytes) {
      throw new SgxioError(
        'SGXIO_MEMORY_EXHAUSTED',
        `there is no room for ${bytes} bytes in pinned memory: free some, or create the enclave with more pinnedBytes`,
      );
    }
    const range = { start, end: start + pages };
    this.#taken.splice(index, 0, range);
    return {
      bytes: new Uint8Array(this.#buffer, this.#start + start, bytes),
      offset: start,
      free: () => this.#free(range),
    };
  }

  #free(range: Range): void {
    const index = this.#taken.indexOf(range);
    if (index < 0) throw new SgxioError('SGXIO_MEMORY_MISUSE', 'the pinned buffer was freed already');
    this.#taken.splice(index, 1);
  }

  /** Whether a view lies in what is given out now. */
  holds({ bytes, offset }: PinnedBuffer): boolean {
    return (
      bytes.buffer === this.#buffer &&
      this.#taken.some(({ start, end }) => start === offset && offset + bytes.length <= end)
    );
  }

  /** Buffers that were not freed. */
  get count(): number {
    return this.#taken.length;
  }
}
