import {
  SEALED_HEADER_BYTES,
  SEALED_OVERHEAD_BYTES,
  SEQUENCE_MAX,
  TransferDirection,
  writeNonce,
} from '../boundary/transfer-sealing.ts';
import { InvalidArgumentError, SgxioError } from '../errors.ts';
import { COPY_CHUNK_BYTES, COPY_PIECES_MAX, SEALED_BLOCK_BYTES, TAG_BYTES } from '../limits.ts';
import { copyMemory, type SharedMapping } from '../linux/memory.ts';
import { BUFFER_KEY_BYTES, type BufferEntry, incomplete, Right, takeForCopy } from './buffers.ts';
import { type AesGcm, createPrivateCipher, privateMemory } from './private-memory.ts';

/**
 * Copies between pinned memory of the boundary and private buffers, on the thread of the copy engine. The host asks
 * for them; what it may copy, and where from and to, is checked against the private table of buffers.
 */
const PIECE_NUMBERS = 6;
/** Where nonce and tag lie behind the key. */
const NONCE = 64;
const TAG = 128;
/** Ciphers that are kept; each has a key of its own. */
const CIPHERS_MAX = 64;

/** Rows of one length at even distances, on both sides. */
interface Piece {
  readonly buffer: number;
  readonly pinned: number;
  readonly rowBytes: number;
  readonly rows: number;
  readonly bufferStride: number;
  readonly pinnedStride: number;
}

export class Copies {
  readonly #pinned: number;
  readonly #pinnedBytes: number;
  readonly #words: Uint8Array<SharedArrayBuffer>;
  readonly #pinnedStart: number;
  readonly #ciphers = new Map<number, AesGcm>();

  /** Pinned memory begins at `start` of the boundary. */
  constructor(boundary: SharedMapping, start: number, bytes: number) {
    this.#pinned = boundary.address + start;
    this.#pinnedStart = start;
    this.#pinnedBytes = bytes;
    this.#words = new Uint8Array(boundary.buffer);
  }

  /** Copies one run of bytes: what most copies are. */
  copyRun(isIn: boolean, handle: number, buffer: number, pinned: number, bytes: number): void {
    const entry = takeForCopy(handle, isIn ? Right.write : Right.read);
    try {
      if (entry.isSealed || bytes > COPY_CHUNK_BYTES)
        throw new InvalidArgumentError(`no run of ${bytes} bytes is copied with buffer ${handle}`);
      requireInside('the buffer', buffer, bytes, 1, 0, entry.bytes);
      requireInside('pinned memory', pinned, bytes, 1, 0, this.#pinnedBytes);
      const inside = privateMemory().address + entry.start + buffer;
      const outside = this.#pinned + pinned;
      if (isIn) copyMemory(inside, outside, bytes);
      else copyMemory(outside, inside, bytes);
    } finally {
      entry.giveBack(-1);
    }
  }

  /** Copies pieces from pinned memory into a buffer. `numbers`: six for each piece, in the order of {@link Piece}. */
  copyIn(handle: unknown, numbers: unknown): void {
    this.#copy(handle, numbers, Right.write, (piece, entry) => {
      const to = privateMemory().address + entry.start + piece.buffer;
      if (entry.isSealed) this.#open(entry, piece);
      else copyRows(to, piece.bufferStride, this.#pinned + piece.pinned, piece.pinnedStride, piece);
    });
  }

  copyOut(handle: unknown, numbers: unknown, last: unknown): void {
    this.#copy(handle, numbers, Right.read, (piece, entry, isLastPiece) => {
      // Nobody is to take half of one transfer and half of another for a whole.
      if (entry.isIncomplete) throw incomplete(entry.handle);
      const from = privateMemory().address + entry.start + piece.buffer;
      if (entry.isSealed) this.#seal(entry, piece, last === true && isLastPiece);
      else copyRows(this.#pinned + piece.pinned, piece.pinnedStride, from, piece.bufferStride, piece);
    });
  }

  #copy(
    handle: unknown,
    numbers: unknown,
    right: number,
    copy: (piece: Piece, entry: BufferEntry, isLast: boolean) => void,
  ): void {
    const entry = takeForCopy(handle, right);
    try {
      const pieces = this.#check(numbers, entry);
      for (const [index, piece] of pieces.entries()) copy(piece, entry, index === pieces.length - 1);
    } finally {
      entry.giveBack(-1);
    }
  }

  #check(numbers: unknown, entry: BufferEntry): Piece[] {
    if (
      !(numbers instanceof Float64Array) ||
      numbers.length % PIECE_NUMBERS !== 0 ||
      numbers.length > COPY_PIECES_MAX * PIECE_NUMBERS ||
      !numbers.every((number) => Number.isSafeInteger(number) && number >= 0)
    ) {
      throw new InvalidArgumentError('a copy is a list of pieces of six whole numbers each');
    }
    const pieces: Piece[] = [];
    let total = 0;
    for (let at = 0; at < numbers.length; at += PIECE_NUMBERS) {
      const [buffer, pinned, rowBytes, rows, bufferStride, pinnedStride] = numbers.subarray(
        at,
        at + PIECE_NUMBERS,
      ) as unknown as [number, number, number, number, number, number];
      const piece = { buffer, pinned, rowBytes, rows, bufferStride, pinnedStride };
      const pinnedRow = entry.isSealed ? rowBytes + SEALED_OVERHEAD_BYTES : rowBytes;
      requireInside('the buffer', buffer, rowBytes, rows, bufferStride, entry.bytes);
      requireInside('pinned memory', pinned, pinnedRow, rows, pinnedStride, this.#pinnedBytes);
      if (
        entry.isSealed &&
        (rows !== 1 || rowBytes > SEALED_BLOCK_BYTES || buffer % SEALED_BLOCK_BYTES !== 0)
      )
        throw new InvalidArgumentError('pieces of a sealed buffer are its blocks');
      total += rows * rowBytes;
      pieces.push(piece);
    }
    if (total > COPY_CHUNK_BYTES)
      throw new InvalidArgumentError(`a copy in one go is at most ${COPY_CHUNK_BYTES} bytes`);
    return pieces;
  }

  /** The header is read once; all that counts of it goes into the nonce. The block is opened in private memory. */
  #open(entry: BufferEntry, { buffer, pinned, rowBytes }: Piece): void {
    const { block, key } = entry.scratch;
    const { address } = privateMemory();
    const header = this.#words.slice(
      this.#pinnedStart + pinned,
      this.#pinnedStart + pinned + SEALED_HEADER_BYTES,
    );
    const view = new DataView(header.buffer);
    const sequence = view.getUint32(0, true);
    const last = view.getUint32(8, true);
    if (sequence !== entry.lastSequenceIn + 1 || last > 1) throw tampered();
    writeNonce(
      new Uint8Array(privateMemory().buffer),
      key + NONCE,
      TransferDirection.in,
      sequence,
      buffer / SEALED_BLOCK_BYTES,
      last,
    );
    const from = this.#pinned + pinned + SEALED_HEADER_BYTES;
    copyMemory(address + block, from, rowBytes);
    copyMemory(address + key + TAG, from + rowBytes, TAG_BYTES);
    // Opened where it was copied to, so that nothing false is ever in the buffer.
    if (!this.#cipher(entry).open(key + NONCE, block, rowBytes, block, key + TAG)) throw tampered();
    copyMemory(address + entry.start + buffer, address + block, rowBytes);
    entry.tookIn(sequence, last === 1);
  }

  #seal(entry: BufferEntry, { buffer, pinned, rowBytes }: Piece, isLast: boolean): void {
    const { block, key } = entry.scratch;
    const { address } = privateMemory();
    const sequence = entry.nextSequenceOut();
    if (sequence <= 0 || sequence >= SEQUENCE_MAX)
      throw new SgxioError(
        'SGXIO_MEMORY_EXHAUSTED',
        `the key of buffer ${entry.handle} has served; make another`,
      );
    const header = new DataView(this.#words.buffer, this.#pinnedStart + pinned, SEALED_HEADER_BYTES);
    const last = isLast ? 1 : 0;
    const number = buffer / SEALED_BLOCK_BYTES;
    for (const [index, word] of [sequence, number, last, rowBytes].entries())
      header.setUint32(index * 4, word, true);
    const memory = new Uint8Array(privateMemory().buffer);
    writeNonce(memory, key + NONCE, TransferDirection.out, sequence, number, last);
    this.#cipher(entry).seal(key + NONCE, entry.start + buffer, rowBytes, block, key + TAG);
    const to = this.#pinned + pinned + SEALED_HEADER_BYTES;
    copyMemory(to, address + block, rowBytes);
    copyMemory(to + rowBytes, address + key + TAG, TAG_BYTES);
  }

  #cipher(entry: BufferEntry): AesGcm {
    const kept = this.#ciphers.get(entry.handle);
    if (kept !== undefined) return kept;
    if (this.#ciphers.size >= CIPHERS_MAX) {
      for (const cipher of this.#ciphers.values()) cipher.close();
      this.#ciphers.clear();
    }
    const { key } = entry.scratch;
    const cipher = createPrivateCipher(new Uint8Array(privateMemory().buffer, key, BUFFER_KEY_BYTES));
    this.#ciphers.set(entry.handle, cipher);
    return cipher;
  }
}

function copyRows(to: number, toStride: number, from: number, fromStride: number, piece: Piece): void {
  for (let row = 0; row < piece.rows; row++) {
    copyMemory(to + row * toStride, from + row * fromStride, piece.rowBytes);
  }
}

function requireInside(
  what: string,
  start: number,
  rowBytes: number,
  rows: number,
  stride: number,
  bytes: number,
): void {
  const end = start + Math.max(0, rows - 1) * stride + rowBytes;
  if (end <= bytes) return;
  throw new InvalidArgumentError(`a copy to byte ${end} of ${what}, which has ${bytes}`);
}

function tampered(): SgxioError {
  return new SgxioError(
    'SGXIO_COPY_TAMPERED',
    'a sealed copy was changed, cut, moved or repeated on its way',
  );
}
