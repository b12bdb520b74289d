import { PROTECTED_BATCH_BLOCKS } from '../../limits.ts';
import type { BlockFile, StartedWrite } from './block-file.ts';
import { BLOCK_BYTES } from './format.ts';
import type { Frames } from './frames.ts';
import { PIECE_BLOCKS } from './incoming.ts';

const PIECES = PROTECTED_BATCH_BLOCKS / PIECE_BLOCKS;

interface Piece {
  readonly frames: readonly number[];
  readonly write: StartedWrite;
}

/**
 * Sealed pieces on their way from the staging memory to the store: the host writes one while the next is sealed. A
 * frame counts as changed until the store has all of its piece.
 */
export class Outgoing {
  readonly #frames: Frames;
  readonly #file: BlockFile;
  readonly #pieces: Piece[] = [];
  #next = 0;

  constructor(frames: Frames, file: BlockFile) {
    this.#frames = frames;
    this.#file = file;
  }

  /** The block of the staging memory that the next piece is sealed to; what was there before is written by then. */
  room(): number {
    if (this.#pieces.length === PIECES) this.#land(this.#pieces.shift()!);
    return this.#next * PIECE_BLOCKS;
  }

  /** Starts to write the piece that frames were sealed to, to the slots from `first` on. */
  start(first: number, frames: readonly number[]): void {
    const from = this.#frames.staging + this.room() * BLOCK_BYTES;
    const bytes = this.#frames.bytes.subarray(from, from + frames.length * BLOCK_BYTES);
    this.#pieces.push({ frames, write: this.#file.startWrite(first * BLOCK_BYTES, bytes) });
    this.#next = (this.#next + 1) % PIECES;
  }

  /** Waits for all, and throws what went wrong first. */
  end(): void {
    const failures: unknown[] = [];
    for (const piece of this.#pieces.splice(0)) {
      try {
        this.#land(piece);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  #land({ frames, write }: Piece): void {
    write.finish();
    for (const frame of frames) this.#frames.clean(frame);
  }
}
