import type { StreamName } from '../boundary/grants.ts';
import { CallKind } from '../boundary/kinds.ts';
import { NotGrantedError } from '../errors.ts';
import { FILE_TRANSFER_MAX } from '../limits.ts';
import { Open } from './open.ts';
import { runtime } from './runtime.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  nextEmpty,
  requirePrivate,
  type Transfer,
} from './transfer.ts';

/**
 * The standard streams of the host's process, as far as the image was granted them. The host sees all that goes
 * through them. Whatever the program prints with `console` goes to `stdout` and `stderr`, or nowhere when they
 * were not granted.
 */
type Bytes = Uint8Array<ArrayBuffer>;

const DESCRIPTORS: Readonly<Record<StreamName, number>> = { stdin: 0, stdout: 1, stderr: 2 };

export class InputStream extends Open {
  /** Reads at most `buffer.length` bytes and says how many; 0 is the end. */
  read(buffer: Bytes, options?: CallOptions): number {
    return callSync(this.#reading(buffer), options);
  }

  async readAsync(buffer: Bytes, options?: AsyncCallOptions): Promise<number> {
    return await callAsync(this.#reading(buffer), options);
  }

  #reading(buffer: Bytes): Transfer {
    requirePrivate(buffer);
    const length = Math.min(buffer.length, FILE_TRANSFER_MAX);
    return { kind: CallKind.readStream, handle: this.handle, view: buffer, length, direction: Direction.in };
  }
}

export class OutputStream extends Open {
  /** Writes all of `bytes`; waits while nobody takes them. */
  write(bytes: Bytes, options?: CallOptions): void {
    this.#requireWritable(bytes);
    let empty = 0;
    for (let written = 0; written < bytes.length; ) {
      const count = callSync(this.#writing(bytes, written), options);
      empty = nextEmpty(empty, count);
      written += count;
    }
  }

  async writeAsync(bytes: Bytes, options?: AsyncCallOptions): Promise<void> {
    this.#requireWritable(bytes);
    let empty = 0;
    for (let written = 0; written < bytes.length; ) {
      const count = await callAsync(this.#writing(bytes, written), options);
      empty = nextEmpty(empty, count);
      written += count;
    }
  }

  /** Nothing is written without a call, and refused like something. */
  #requireWritable(bytes: Bytes): void {
    requirePrivate(bytes);
    if (bytes.length === 0) void this.handle;
  }

  #writing(bytes: Bytes, offset: number): Transfer {
    return {
      kind: CallKind.writeStream,
      handle: this.handle,
      view: bytes,
      offset,
      length: Math.min(bytes.length - offset, FILE_TRANSFER_MAX),
      direction: Direction.out,
    };
  }
}

export function stdin(): InputStream {
  return new InputStream(open('stdin'));
}

export function stdout(): OutputStream {
  return new OutputStream(open('stdout'));
}

export function stderr(): OutputStream {
  return new OutputStream(open('stderr'));
}

function open(name: StreamName): number {
  if (!runtime().grants.streams.includes(name)) {
    throw new NotGrantedError(
      `the image was not granted ${name}: add '${name}' to grants.streams of its manifest`,
    );
  }
  return callSync({ kind: CallKind.openStream, handle: 0, a0: DESCRIPTORS[name] });
}
