import { FILE_TRANSFER_MAX, PROTECTED_BATCH_BLOCKS } from '../../limits.ts';
import type { BlockFile, StartedRead } from './block-file.ts';
import { Word } from './books.ts';
import { BLOCK_BYTES } from './format.ts';
import type { Frames } from './frames.ts';

const PIECE_BLOCKS: number = FILE_TRANSFER_MAX / BLOCK_BYTES;

/** The first piece of the run that is read next if the program goes on as before. */
interface Ahead {
  readonly slot: number;
  /** {@link Word.storeWrites} when it was asked for: a slot that was written since may hold something else. */
  readonly writes: number;
  readonly read: StartedRead;
}

/**
 * A run of sealed blocks on its way into the staging memory, piece by piece: the host reads one while the one before is
 * opened. Each thread has such an object for itself; what it reads ahead lies in memory of its own until it is asked for.
 */
export class Incoming {
  readonly #frames: Frames;
  readonly #file: BlockFile;
  readonly #pieces: Uint8Array<ArrayBuffer>[];
  readonly #reads: StartedRead[] = [];
  /** Blocks of the run, and those of them that are in the staging memory. */
  #count = 0;
  #arrived: number = PROTECTED_BATCH_BLOCKS;
  readonly #aheadBytes: Uint8Array<ArrayBuffer> = new Uint8Array(FILE_TRANSFER_MAX);
  #ahead: Ahead | undefined;

  constructor(frames: Frames, file: BlockFile) {
    this.#frames = frames;
    this.#file = file;
    this.#pieces = Array.from({ length: PROTECTED_BATCH_BLOCKS / PIECE_BLOCKS }, (_, piece) => {
      const at = frames.staging + piece * FILE_TRANSFER_MAX;
      return frames.bytes.subarray(at, at + FILE_TRANSFER_MAX);
    });
  }

  /** Starts to read so many slots. */
  start(slot: number, count: number): void {
    this.#count = count;
    this.#arrived = 0;
    this.#reads.length = 0;
    const known = this.#takeAhead(slot, count);
    if (known !== undefined) this.#reads.push(known);
    else if (count <= PIECE_BLOCKS) return this.#readNow(slot);
    for (let first = this.#reads.length * PIECE_BLOCKS; first < count; first += PIECE_BLOCKS) {
      this.#reads.push(this.#file.startRead((slot + first) * BLOCK_BYTES, this.#pieceAt(first)));
    }
    if (count > PROTECTED_BATCH_BLOCKS / 2) this.#readAhead(slot + count);
  }

  /** Waits until the block with that number in the run is in the staging memory. */
  require(block: number): void {
    while (this.#arrived <= block) {
      const first = this.#arrived;
      const view = this.#pieceAt(first);
      const read = this.#reads.shift()!;
      this.#arrived += PIECE_BLOCKS;
      const bytes = read.finish();
      if (bytes < view.length) view.fill(0, bytes);
    }
  }

  /** Nothing more is wanted of the run: what is still on its way has its answer taken, so that it harms no later one. */
  end(): void {
    for (const read of this.#reads) finishInVain(read);
    this.#reads.length = 0;
    this.#arrived = PROTECTED_BATCH_BLOCKS;
  }

  #pieceAt(first: number): Uint8Array<ArrayBuffer> {
    const whole = this.#pieces[first / PIECE_BLOCKS]!;
    const blocks = this.#count - first;
    return blocks < PIECE_BLOCKS ? whole.subarray(0, blocks * BLOCK_BYTES) : whole;
  }

  /** One piece: there is nothing to be done meanwhile. */
  #readNow(slot: number): void {
    const view = this.#pieceAt(0);
    const bytes = this.#file.read(slot * BLOCK_BYTES, view);
    if (bytes < view.length) view.fill(0, bytes);
    this.#arrived = PROTECTED_BATCH_BLOCKS;
  }

  #readAhead(slot: number): void {
    if (this.#ahead !== undefined) finishInVain(this.#ahead.read);
    const read = this.#file.startRead(slot * BLOCK_BYTES, this.#aheadBytes);
    this.#ahead = { slot, read, writes: this.#frames.words[Word.storeWrites]! };
  }

  /** What was read ahead, when it is what a run starts with. */
  #takeAhead(slot: number, count: number): StartedRead | undefined {
    const ahead = this.#ahead;
    if (ahead?.slot !== slot) return undefined;
    this.#ahead = undefined;
    if (ahead.writes !== this.#frames.words[Word.storeWrites] || count < PIECE_BLOCKS) {
      finishInVain(ahead.read);
      return undefined;
    }
    return {
      finish: () => {
        const bytes = ahead.read.finish();
        this.#pieces[0]!.set(this.#aheadBytes);
        return bytes;
      },
    };
  }
}

function finishInVain(read: StartedRead): void {
  try {
    read.finish();
  } catch {
    // Who asks for those blocks will hear of it.
  }
}
