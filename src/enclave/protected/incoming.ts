import { FILE_TRANSFER_MAX } from '../../limits.ts';
import type { BlockFile, StartedRead } from './block-file.ts';
import { BLOCK_BYTES } from './format.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Blocks that one call to the store brings. */
export const PIECE_BLOCKS: number = FILE_TRANSFER_MAX / BLOCK_BYTES;
/** Pieces that are read before they are asked for: each takes room of the thread's for payloads. */
const EARLY_MAX = 16;

interface Early {
  readonly count: number;
  readonly read: StartedRead;
}

/**
 * A run of sealed blocks on its way into private memory, piece by piece: the host reads one while the one before is
 * opened. Each thread has such an object for itself; what it reads early stays with the host until it is asked for.
 */
export class Incoming {
  readonly #file: BlockFile;
  readonly #reads: StartedRead[] = [];
  readonly #pieces: Bytes[] = [];
  /** Blocks of the run that have arrived; beyond its end when none is on its way. */
  #arrived = Number.POSITIVE_INFINITY;
  /** Pieces that no run took yet, by their first slots. */
  readonly #early = new Map<number, Early>();
  #isEarly = false;

  constructor(file: BlockFile) {
    this.#file = file;
  }

  /** Whether the first piece of the run was read early: its slots may have been written since. */
  get isEarly(): boolean {
    return this.#isEarly;
  }

  /** Starts to read a piece of so many slots that a run may begin with later, or has started it. */
  readEarly(slot: number, count: number): StartedRead {
    const known = this.#early.get(slot);
    if (known?.count === count) return known.read;
    this.#forget(slot);
    if (this.#early.size === EARLY_MAX) this.#forget(this.#early.keys().next().value!);
    const read = this.#file.startRead(slot * BLOCK_BYTES, count * BLOCK_BYTES);
    this.#early.set(slot, { count, read });
    return read;
  }

  /** Starts to read the slots from `slot` on that fill `into`. */
  start(slot: number, into: Bytes): void {
    const first = this.#take(slot, Math.min(into.length / BLOCK_BYTES, PIECE_BLOCKS));
    this.#isEarly = first !== undefined;
    this.#arrived = 0;
    if (first === undefined && into.length <= FILE_TRANSFER_MAX) return this.#readNow(slot, into);
    for (let at = 0; at < into.length; at += FILE_TRANSFER_MAX) {
      const piece = into.subarray(at, at + FILE_TRANSFER_MAX);
      const early = at === 0 ? first : this.#take(slot + at / BLOCK_BYTES, piece.length / BLOCK_BYTES);
      this.#pieces.push(piece);
      this.#reads.push(early ?? this.#file.startRead(slot * BLOCK_BYTES + at, piece.length));
    }
  }

  /** Waits until the block with that number in the run has arrived. */
  require(block: number): void {
    while (this.#arrived <= block) {
      const piece = this.#pieces.shift()!;
      const read = this.#reads.shift()!;
      this.#arrived += PIECE_BLOCKS;
      const bytes = read.finish(piece);
      if (bytes < piece.length) piece.fill(0, bytes);
    }
  }

  /** Nothing more is wanted of the run. */
  end(): void {
    for (const read of this.#reads) read.drop();
    this.#reads.length = 0;
    this.#pieces.length = 0;
    this.#arrived = Number.POSITIVE_INFINITY;
  }

  close(): void {
    for (const slot of this.#early.keys()) this.#forget(slot);
  }

  /** One piece: there is nothing to be done meanwhile. */
  #readNow(slot: number, into: Bytes): void {
    const bytes = this.#file.read(slot * BLOCK_BYTES, into);
    if (bytes < into.length) into.fill(0, bytes);
    this.#arrived = Number.POSITIVE_INFINITY;
  }

  #take(slot: number, count: number): StartedRead | undefined {
    const early = this.#early.get(slot);
    if (early?.count !== count) {
      this.#forget(slot);
      return undefined;
    }
    this.#early.delete(slot);
    return early.read;
  }

  #forget(slot: number): void {
    this.#early.get(slot)?.read.drop();
    this.#early.delete(slot);
  }
}
