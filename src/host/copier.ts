import { LaunchKind, ServiceNumber } from '../boundary/launch.ts';
import { AbortError, InvalidArgumentError, SgxioError } from '../errors.ts';
import { COPY_CHUNK_BYTES } from '../limits.ts';
import {
  type CopyChunk,
  type CopyPiece,
  planPieces,
  planRun,
  planSealed,
  unsealedLength,
} from './copy-plan.ts';
import type { Launcher } from './launcher.ts';
import { type PinnedBuffer, PinnedMemory } from './pinned-memory.ts';

/** A buffer in private memory, as the host knows it. */
export interface PrivateBuffer {
  /** What the program knows it by: pass it as an argument of a launch. */
  readonly handle: number;
  readonly bytes: number;
  /** Whether what is copied is sealed for somebody else. */
  readonly sealed: boolean;
  /** Wipes it and gives its memory back. Only who made a buffer frees it. */
  free(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface CopyOptions {
  /** Where in the private buffer the copy begins; 0 unless told. */
  readonly bufferOffset?: number;
  /** Strided and scattered copies, of pinned memory alone; all of the host's bytes in one run unless told. */
  readonly pieces?: readonly CopyPiece[];
  /** Told after each part how many bytes have been copied, and of how many. */
  readonly onProgress?: (copied: number, total: number) => void;
  /** Gives the copy up between two parts: what was copied stays copied. */
  readonly signal?: AbortSignal;
}

/** By which who asked for a copy gives it up. */
export interface CopyLimit {
  readonly isGivenUp: boolean;
}

export type HostMemory = Uint8Array | PinnedBuffer;
type Direction = 'in' | 'out';

/** The largest offset that a copy of one run can name. */
const OFFSET_MAX = 0xffff_ffff;
/** Parts of a copy that are under way at once. Staged: while the engine copies one, the host prepares the next. */
const STAGED_AT_ONCE = 2;
/** Pinned: enough that the engine does not wait for a host that is late. */
const PINNED_AT_ONCE = 8;

/** Copies between the host's memory and private buffers, by the enclave's copy engine. */
export class Copier {
  readonly #launcher: Launcher;
  readonly #engine: number;
  readonly #pinned: PinnedMemory;
  readonly #staging: readonly PinnedBuffer[];
  readonly #buffers = new WeakSet<PrivateBuffer>();
  /** Copies of memory that is not pinned go through the same two chunks, one copy after the other. */
  #staged: Promise<unknown> = Promise.resolve();

  /** `engine` is the channel of the copy engine; the last `pinnedBytes` of the boundary are pinned. */
  constructor(launcher: Launcher, engine: number, boundary: SharedArrayBuffer, pinnedBytes: number) {
    this.#launcher = launcher;
    this.#engine = engine;
    this.#pinned = new PinnedMemory(boundary, pinnedBytes);
    this.#staging = Array.from({ length: STAGED_AT_ONCE }, () => this.#pinned.take(COPY_CHUNK_BYTES));
  }

  pin(bytes: number): PinnedBuffer {
    return this.#pinned.take(bytes);
  }

  /** Pinned buffers that were not freed. */
  get pinnedCount(): number {
    return this.#pinned.count - STAGED_AT_ONCE;
  }

  async createBuffer(bytes: number): Promise<PrivateBuffer> {
    const handle = Number(await this.#serve(ServiceNumber.createBuffer, [bytes]));
    return this.adopt(handle, bytes, false);
  }

  /** A buffer that the program made. */
  adopt(handle: number, bytes: number, sealed: boolean): PrivateBuffer {
    const free = async (): Promise<void> => {
      await this.#serve(ServiceNumber.freeBuffer, [handle]);
    };
    const buffer = { handle, bytes, sealed, free, [Symbol.asyncDispose]: free };
    this.#buffers.add(buffer);
    return buffer;
  }

  /** `limit` gives the copy up, as the signal does. */
  async copy(
    direction: Direction,
    buffer: PrivateBuffer,
    memory: HostMemory,
    options: CopyOptions,
    limit: CopyLimit,
  ): Promise<void> {
    if (!this.#buffers.has(buffer))
      throw new SgxioError('SGXIO_MEMORY_MISUSE', 'the private buffer belongs to another enclave');
    const isPinned = !(memory instanceof Uint8Array);
    if (isPinned && !this.#pinned.holds(memory))
      throw new SgxioError(
        'SGXIO_MEMORY_MISUSE',
        'the pinned buffer was freed, or belongs to another enclave',
      );
    const chunks = plan(buffer, isPinned ? memory.bytes.length : memory.length, options, isPinned);
    if (isPinned) return await this.#run(direction, buffer, chunks, options, limit, new InPlace(memory));
    const run = this.#staged.then(() =>
      this.#run(direction, buffer, chunks, options, limit, new Staged(memory, this.#staging, direction)),
    );
    this.#staged = run.catch(() => {});
    return await run;
  }

  async #run(
    direction: Direction,
    buffer: PrivateBuffer,
    chunks: readonly CopyChunk[],
    options: CopyOptions,
    limit: CopyLimit,
    memory: ChunkMemory,
  ): Promise<void> {
    const total = chunks.reduce((sum, { bytes }) => sum + bytes, 0);
    const { atOnce } = memory;
    const parts: Promise<unknown>[] = [];
    let copied = 0;
    const finish = async (part: number): Promise<void> => {
      await parts[part];
      const chunk = chunks[part] as CopyChunk;
      memory.finish(part, chunk);
      copied += chunk.bytes;
      options.onProgress?.(copied, total);
    };
    try {
      for (const [part, chunk] of chunks.entries()) {
        if (part >= atOnce) await finish(part - atOnce);
        if (limit.isGivenUp || options.signal?.aborted === true)
          throw new AbortError('the copy was aborted', { cause: options.signal?.reason });
        const base = memory.prepare(part, chunk);
        parts.push(this.#copyChunk(direction, buffer, chunk, base, part === chunks.length - 1));
      }
      for (let part = Math.max(0, chunks.length - atOnce); part < chunks.length; part++) await finish(part);
    } catch (error) {
      // What is under way still reads or writes the memory of this copy.
      await Promise.allSettled(parts.slice(-atOnce));
      throw error;
    }
  }

  #copyChunk(
    direction: Direction,
    buffer: PrivateBuffer,
    chunk: CopyChunk,
    base: number,
    isLast: boolean,
  ): Promise<unknown> {
    const [piece, second] = chunk.pieces;
    const isRun = piece !== undefined && second === undefined && piece.rows === 1 && !buffer.sealed;
    if (!isRun) {
      const service = direction === 'in' ? ServiceNumber.copyPiecesIn : ServiceNumber.copyPiecesOut;
      return this.#serve(service, [buffer.handle, numbersOf(chunk, base), isLast]);
    }
    const { bufferOffset, hostOffset, rowBytes } = piece;
    if (bufferOffset > OFFSET_MAX) throw new InvalidArgumentError(`no buffer has a byte ${bufferOffset}`);
    const kind = direction === 'in' ? LaunchKind.copyIn : LaunchKind.copyOut;
    return new Promise((resolve, reject) => {
      const words = [bufferOffset, base + hostOffset, rowBytes] as const;
      this.#launcher.submit(kind, buffer.handle, [], { thread: this.#engine }, { resolve, reject }, words);
    });
  }

  #serve(service: number, values: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#launcher.submit(
        LaunchKind.service,
        service,
        values,
        { thread: this.#engine },
        { resolve, reject },
      );
    });
  }
}

function plan(buffer: PrivateBuffer, bytes: number, options: CopyOptions, isPinned: boolean): CopyChunk[] {
  const { bufferOffset = 0, pieces } = options;
  if (pieces === undefined) {
    return buffer.sealed ? planSealed(unsealedLength(bytes), bufferOffset) : planRun(bytes, bufferOffset);
  }
  if (buffer.sealed) throw new InvalidArgumentError('a sealed buffer is copied in one run');
  if (!isPinned) throw new InvalidArgumentError('strided and scattered copies need pinned memory');
  const chunks = planPieces(pieces);
  for (const { hostStart, hostBytes } of chunks) {
    if (hostStart + hostBytes > bytes)
      throw new InvalidArgumentError(
        `a copy to byte ${hostStart + hostBytes} of a pinned buffer that has ${bytes}`,
      );
  }
  return chunks;
}

/** Six numbers for each piece; `base` is where the first byte of the host's memory would lie in pinned memory. */
function numbersOf({ pieces }: CopyChunk, base: number): Float64Array {
  const numbers = new Float64Array(pieces.length * 6);
  for (const [index, piece] of pieces.entries()) {
    const { bufferOffset, hostOffset, rowBytes, rows, bufferStride, hostStride } = piece;
    numbers.set([bufferOffset, base + hostOffset, rowBytes, rows, bufferStride, hostStride], index * 6);
  }
  return numbers;
}

/** Where the chunks of one copy lie in pinned memory. */
interface ChunkMemory {
  readonly atOnce: number;
  /** Makes a chunk ready and returns the base of its pieces. */
  prepare(part: number, chunk: CopyChunk): number;
  /** Takes over what was copied. */
  finish(part: number, chunk: CopyChunk): void;
}

class InPlace implements ChunkMemory {
  readonly atOnce = PINNED_AT_ONCE;
  readonly #memory: PinnedBuffer;

  constructor(memory: PinnedBuffer) {
    this.#memory = memory;
  }

  prepare(): number {
    return this.#memory.offset;
  }

  finish(): void {}
}

/** Chunks by turns in two places. */
class Staged implements ChunkMemory {
  readonly atOnce = STAGED_AT_ONCE;
  readonly #memory: Uint8Array;
  readonly #staging: readonly PinnedBuffer[];
  readonly #direction: Direction;

  constructor(memory: Uint8Array, staging: readonly PinnedBuffer[], direction: Direction) {
    this.#memory = memory;
    this.#staging = staging;
    this.#direction = direction;
  }

  #place(part: number): PinnedBuffer {
    return this.#staging[part % this.#staging.length] as PinnedBuffer;
  }

  prepare(part: number, { hostStart, hostBytes }: CopyChunk): number {
    const { bytes, offset } = this.#place(part);
    if (this.#direction === 'in') bytes.set(this.#memory.subarray(hostStart, hostStart + hostBytes));
    return offset - hostStart;
  }

  finish(part: number, { hostStart, hostBytes }: CopyChunk): void {
    if (this.#direction === 'out')
      this.#memory.set(this.#place(part).bytes.subarray(0, hostBytes), hostStart);
  }
}
