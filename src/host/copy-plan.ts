import { SEALED_OVERHEAD_BYTES, sealedLength } from '../boundary/transfer-sealing.ts';
import { InvalidArgumentError } from '../errors.ts';
import { COPY_CHUNK_BYTES, COPY_PIECES_MAX, SEALED_BLOCK_BYTES } from '../limits.ts';

/** Rows of one length, at even distances on both sides: a part of a matrix, a column, or, with one row, a run of bytes. */
export interface CopyPiece {
  readonly bufferOffset: number;
  readonly hostOffset: number;
  readonly rowBytes: number;
  /** 1 unless told. */
  readonly rows?: number;
  /** From the start of one row to that of the next; `rowBytes` unless told. */
  readonly bufferStride?: number;
  readonly hostStride?: number;
}

/** What the copy engine does in one go. */
export interface CopyChunk {
  /** Bytes that are copied. */
  readonly bytes: number;
  /** The part of the host's memory that it touches. */
  readonly hostStart: number;
  readonly hostBytes: number;
  readonly pieces: readonly Required<CopyPiece>[];
}

/** Blocks of a sealed buffer that are copied in one go: with their headers they fit a chunk. */
const BLOCKS_A_CHUNK: number = Math.floor(COPY_CHUNK_BYTES / (SEALED_BLOCK_BYTES + SEALED_OVERHEAD_BYTES));

/** One run of bytes, in chunks. */
export function planRun(bytes: number, bufferOffset: number): CopyChunk[] {
  return planPieces([{ bufferOffset, hostOffset: 0, rowBytes: bytes }]);
}

/** Pieces in chunks, long rows cut, and short ones together. */
export function planPieces(pieces: readonly CopyPiece[]): CopyChunk[] {
  const chunks: CopyChunk[] = [];
  let gathered: Required<CopyPiece>[] = [];
  let bytes = 0;
  const flush = (): void => {
    if (gathered.length > 0) chunks.push(chunkOf(gathered, bytes));
    gathered = [];
    bytes = 0;
  };
  for (const piece of pieces) {
    for (const part of cut(complete(piece))) {
      const partBytes = part.rows * part.rowBytes;
      if (bytes + partBytes > COPY_CHUNK_BYTES || gathered.length === COPY_PIECES_MAX) flush();
      gathered.push(part);
      bytes += partBytes;
    }
  }
  flush();
  return chunks;
}

function complete(piece: CopyPiece): Required<CopyPiece> {
  const {
    bufferOffset,
    hostOffset,
    rowBytes,
    rows = 1,
    bufferStride = rowBytes,
    hostStride = rowBytes,
  } = piece;
  const complete = { bufferOffset, hostOffset, rowBytes, rows, bufferStride, hostStride };
  for (const [name, value] of Object.entries(complete)) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new InvalidArgumentError(`the ${name} of a piece is a whole number, not ${value}`);
  }
  return complete;
}

function* cut(piece: Required<CopyPiece>): Generator<Required<CopyPiece>> {
  const { bufferOffset, hostOffset, rowBytes, rows, bufferStride, hostStride } = piece;
  if (rowBytes === 0 || rows === 0) return;
  const rowsAtOnce = Math.floor(COPY_CHUNK_BYTES / rowBytes);
  for (let row = 0; row < rows; row += Math.max(1, rowsAtOnce)) {
    const here = {
      bufferOffset: bufferOffset + row * bufferStride,
      hostOffset: hostOffset + row * hostStride,
    };
    if (rowsAtOnce > 0) {
      yield { ...piece, ...here, rows: Math.min(rowsAtOnce, rows - row) };
      continue;
    }
    for (let start = 0; start < rowBytes; start += COPY_CHUNK_BYTES) {
      const length = Math.min(COPY_CHUNK_BYTES, rowBytes - start);
      yield {
        bufferOffset: here.bufferOffset + start,
        hostOffset: here.hostOffset + start,
        rowBytes: length,
        rows: 1,
        bufferStride: length,
        hostStride: length,
      };
    }
  }
}

function chunkOf(pieces: readonly Required<CopyPiece>[], bytes: number): CopyChunk {
  const starts = pieces.map(({ hostOffset }) => hostOffset);
  const ends = pieces.map(
    ({ hostOffset, hostStride, rows, rowBytes }) => hostOffset + (rows - 1) * hostStride + rowBytes,
  );
  const hostStart = Math.min(...starts);
  return { bytes, hostStart, hostBytes: Math.max(...ends) - hostStart, pieces };
}

/** Blocks of a sealed buffer, each with its header and tag on the host's side. */
export function planSealed(bytes: number, bufferOffset: number): CopyChunk[] {
  const blocks = Math.max(1, Math.ceil(bytes / SEALED_BLOCK_BYTES));
  const chunks: CopyChunk[] = [];
  for (let first = 0; first < blocks; first += BLOCKS_A_CHUNK) {
    const pieces: Required<CopyPiece>[] = [];
    for (let block = first; block < Math.min(blocks, first + BLOCKS_A_CHUNK); block++) {
      const start = block * SEALED_BLOCK_BYTES;
      const rowBytes = Math.min(SEALED_BLOCK_BYTES, bytes - start);
      pieces.push({
        bufferOffset: bufferOffset + start,
        hostOffset: block * (SEALED_BLOCK_BYTES + SEALED_OVERHEAD_BYTES),
        rowBytes,
        rows: 1,
        bufferStride: rowBytes,
        hostStride: rowBytes,
      });
    }
    const plain = pieces.reduce((sum, { rowBytes }) => sum + rowBytes, 0);
    const hostStart = (pieces[0] as CopyPiece).hostOffset;
    chunks.push({
      bytes: plain,
      hostStart,
      hostBytes: plain + pieces.length * SEALED_OVERHEAD_BYTES,
      pieces,
    });
  }
  return chunks;
}

/** How many bytes are sealed in so many. */
export function unsealedLength(sealed: number): number {
  const blocks = Math.max(1, Math.ceil(sealed / (SEALED_BLOCK_BYTES + SEALED_OVERHEAD_BYTES)));
  const bytes = sealed - blocks * SEALED_OVERHEAD_BYTES;
  if (bytes < 0 || sealedLength(bytes) !== sealed)
    throw new InvalidArgumentError(`nothing that is sealed has ${sealed} bytes`);
  return bytes;
}
