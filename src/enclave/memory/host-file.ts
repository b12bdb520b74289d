import { constants } from 'node:os';
import { highWord, lowWord } from '../../boundary/files.ts';
import { CallKind } from '../../boundary/kinds.ts';
import type { Calls, Waiter } from '../calls.ts';
import type { File } from '../file.ts';
import { runtime } from '../runtime.ts';
import { Direction, failure, lend } from '../transfer.ts';
import type { PositionalFile } from './store.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const { ENOSPC } = constants.errno;

/** An open file of the host as a heap uses one: the pieces of a batch are asked for at once, and none makes an exit. */
export class HostFile implements PositionalFile {
  readonly #file: File;

  constructor(file: File) {
    this.#file = file;
  }

  read(buffers: readonly Bytes[], positions: readonly number[]): void {
    this.#move(CallKind.readFile, Direction.in, buffers, positions);
  }

  write(buffers: readonly Bytes[], positions: readonly number[]): void {
    const results = this.#move(CallKind.writeFile, Direction.out, buffers, positions);
    // A disk that took only part of a piece is full.
    if (results.some((result, index) => result < buffers[index]!.length)) {
      throw this.#failure(CallKind.writeFile, -ENOSPC);
    }
  }

  close(): void {
    this.#file.close();
  }

  #move(
    kind: number,
    direction: number,
    buffers: readonly Bytes[],
    positions: readonly number[],
  ): readonly number[] {
    const { calls } = runtime();
    const pieces: Piece[] = [];
    try {
      for (const [index, view] of buffers.entries()) {
        const piece = new Piece(calls, kind, view, direction);
        piece.start(this.#file.hostHandle, positions[index]!);
        pieces.push(piece);
      }
    } finally {
      // Also when one could not be started: a write that is still under way must not come after a later one.
      finish(calls, pieces);
    }
    const failed = pieces.find(({ result }) => result < 0);
    if (failed !== undefined) throw this.#failure(kind, failed.result);
    return pieces.map(({ result }) => result);
  }

  #failure(kind: number, result: number): Error {
    return failure(kind, result, '', this.#file.path);
  }
}

function finish(calls: Calls, pieces: readonly Piece[]): void {
  const isFinished = (): boolean => pieces.every(({ isDone }) => isDone);
  try {
    if (!isFinished()) calls.waitUntil(isFinished, Number.POSITIVE_INFINITY);
  } catch (error) {
    for (const piece of pieces) piece.abandon();
    throw error;
  }
}

/** One read or write under way. */
class Piece implements Waiter {
  readonly #calls: Calls;
  readonly #kind: number;
  readonly #view: Bytes;
  readonly #direction: number;
  #payload = 0;
  #isAbandoned = false;
  result = 0;
  isDone = false;

  constructor(calls: Calls, kind: number, view: Bytes, direction: number) {
    this.#calls = calls;
    this.#kind = kind;
    this.#view = view;
    this.#direction = direction;
  }

  start(handle: number, position: number): void {
    const view = this.#view;
    this.#payload = lend(this.#calls, view, 0, view.length, this.#direction);
    const low = lowWord(position);
    const high = highWord(position);
    this.#calls.start(this.#kind, handle, this.#payload, view.length, low, high, 0, 0, 0, 0, -1, 0, this);
  }

  settle(result: number): void {
    const { port } = this.#calls;
    if (result > 0 && this.#direction === Direction.in && !this.#isAbandoned) {
      port.copyIn(this.#payload, this.#view, 0, result);
    }
    port.release(this.#payload);
    this.result = result;
    this.isDone = true;
  }

  /** Nobody waits any more: what comes must not be written where other bytes will be by then. */
  abandon(): void {
    this.#isAbandoned = true;
  }
}
