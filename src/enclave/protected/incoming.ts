import { FILE_TRANSFER_MAX } from '../../limits.ts';
import type { BlockFile, StartedRead } from './block-file.ts';
import { Word } from './books.ts';
import { BLOCK_BYTES } from './format.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Blocks that one call to the store brings. */
export const PIECE_BLOCKS: number = FILE_TRANSFER_MAX / BLOCK_BYTES;

/** The piece that is read next if the program goes on as before. */
interface Ahead {
  readonly slot: number;
  readonly count: number;
  /** {@link Word.storeWrites} when it was asked for: a slot that was written since may hold something else. */
  readonly writes: number;
  readonly read: StartedRead;
}

/**
 * A run of sealed blocks on its way into private memory, piece by piece: the host reads one while the one before is
 * opened. Each thread has such an object for itself; what it reads ahead stays with the host until it is asked for.
 */
export class Incoming {
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #file: BlockFile;
  readonly #reads: StartedRead[] = [];
  readonly #pieces: Bytes[] = [];
  /** Blocks of the run that have arrived; beyond its end when none is on its way. */
  #arrived = Number.POSITIVE_INFINITY;
  /** For a store that reads the moment it is asked to. */
  readonly #aheadBytes: Bytes = new Uint8Array(FILE_TRANSFER_MAX);
  #ahead: Ahead | undefined;

  /** `words` are those of the mount's books. */
  constructor(words: Int32Array<ArrayBuffer>, file: BlockFile) {
    this.#words = words;
    this.#file = file;
  }

  /** Starts to read the slots from `slot` on that fill `into`. */
  start(slot: number, into: Bytes): void {
    this.#arrived = 0;
    const known = this.#takeAhead(slot, into.length / BLOCK_BYTES);
    if (known === undefined && into.length <= FILE_TRANSFER_MAX) return this.#readNow(slot, into);
    for (let at = 0; at < into.length; at += FILE_TRANSFER_MAX) {
      const piece = into.subarray(at, at + FILE_TRANSFER_MAX);
      this.#pieces.push(piece);
      this.#reads.push(
        at === 0 && known !== undefined ? known : this.#file.startRead(slot * BLOCK_BYTES + at, piece),
      );
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

  /** Nothing more is wanted of the run: what is still on its way has its answer taken, so that it harms no later one. */
  end(): void {
    for (const [index, read] of this.#reads.entries()) finishInVain(read, this.#pieces[index]!);
    this.#reads.length = 0;
    this.#pieces.length = 0;
    this.#arrived = Number.POSITIVE_INFINITY;
  }

  /** Starts to read so many slots, a piece at most, that a run may begin with later. */
  readAhead(slot: number, count: number): void {
    this.#forgetAhead();
    const bytes = this.#aheadBytes.subarray(0, count * BLOCK_BYTES);
    const read = this.#file.startRead(slot * BLOCK_BYTES, bytes);
    this.#ahead = { slot, count, read, writes: this.#words[Word.storeWrites]! };
  }

  /** One piece: there is nothing to be done meanwhile. */
  #readNow(slot: number, into: Bytes): void {
    const bytes = this.#file.read(slot * BLOCK_BYTES, into);
    if (bytes < into.length) into.fill(0, bytes);
    this.#arrived = Number.POSITIVE_INFINITY;
  }

  /** What was read ahead, when it is the first piece of a run. */
  #takeAhead(slot: number, count: number): StartedRead | undefined {
    const ahead = this.#ahead;
    if (ahead?.slot !== slot) return undefined;
    const isPiece = ahead.count === Math.min(count, PIECE_BLOCKS);
    if (!isPiece || ahead.writes !== this.#words[Word.storeWrites]) {
      this.#forgetAhead();
      return undefined;
    }
    this.#ahead = undefined;
    return ahead.read;
  }

  #forgetAhead(): void {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead !== undefined)
      finishInVain(ahead.read, this.#aheadBytes.subarray(0, ahead.count * BLOCK_BYTES));
  }
}

function finishInVain(read: StartedRead, bytes: Bytes): void {
  try {
    read.finish(bytes);
  } catch {
    // Who asks for those blocks will hear of it.
  }
}
