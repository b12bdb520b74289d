import { type FileHandle, open } from 'node:fs/promises';
import { getSystemErrorName } from 'node:util';
import { CallKind } from '../boundary/kinds.ts';
import { TRACED_CALLS_MAX } from '../limits.ts';
import { TraceBuffer, type TracedCall } from './trace-buffer.ts';

/** What came of a trace. */
export interface TraceSummary {
  /** Calls in the file. */
  readonly calls: number;
  /** Calls that are not: the file had its fill, or they came faster than they could be written. */
  readonly dropped: number;
}

const DRAIN_MILLISECONDS = 20;
/** Calls turned into text at once, so that the host's event loop is never held for long. */
const CALLS_A_DRAIN = 20_000;

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(CallKind).map(([name, kind]) => [kind, name]),
);

/**
 * Writes each call of an enclave, from when its worker took it to its answer, as a trace that Perfetto
 * (ui.perfetto.dev) and chrome://tracing show: the Trace Event Format, one asynchronous span a call.
 *
 *     await using trace = await CallTrace.create('calls.json');
 *     await using enclave = await Enclave.create(image, { trace });
 *
 * It is the host's view. Where calls are served in place there is no worker, and the trace stays empty.
 */
export class CallTrace {
  readonly #file: FileHandle;
  readonly #buffers: TraceBuffer[] = [];
  readonly #timer: NodeJS.Timeout;
  #writing: Promise<void> = Promise.resolve();
  #busy = false;
  #closed = false;
  #calls = 0;
  #dropped = 0;
  #failure: unknown;
  /** Times are relative to it, so that they keep their precision. */
  readonly #start: number = performance.timeOrigin + performance.now();

  /** Begins a file anew. */
  static async create(path: string): Promise<CallTrace> {
    const file = await open(path, 'w');
    await file.write('{"displayTimeUnit":"ns","traceEvents":[\n');
    return new CallTrace(file);
  }

  private constructor(file: FileHandle) {
    this.#file = file;
    this.#timer = setInterval(() => {
      if (!this.#busy) void this.#drain();
    }, DRAIN_MILLISECONDS);
    this.#timer.unref();
  }

  /** Memory for one more worker to leave its calls in; each has a row of its own in the trace. */
  addWorker(): SharedArrayBuffer {
    const buffer = new TraceBuffer();
    this.#buffers.push(buffer);
    return buffer.buffer;
  }

  #drain(): Promise<void> {
    this.#busy = true;
    this.#writing = this.#write().catch((error: unknown) => {
      this.#failure ??= error;
    });
    return this.#writing.finally(() => {
      this.#busy = false;
    });
  }

  async #write(): Promise<void> {
    for (const [worker, buffer] of this.#buffers.entries()) {
      const calls = buffer.take(CALLS_A_DRAIN);
      const kept = calls.slice(0, TRACED_CALLS_MAX - this.#calls);
      this.#dropped += calls.length - kept.length;
      if (kept.length === 0) continue;
      const text = kept.map((call) => this.#describe(call, worker)).join(',\n');
      await this.#file.write(this.#calls === 0 ? text : `,\n${text}`);
      this.#calls += kept.length;
    }
  }

  #describe({ id, kind, result, taken, answered }: TracedCall, worker: number): string {
    const name = names.get(kind) ?? `kind ${kind}`;
    const common = { cat: 'call', name, id: `${worker}.${id}`, pid: worker, tid: worker };
    const outcome = result < 0 ? errorName(result) : result;
    const begin = { ph: 'b', ts: this.#microseconds(taken), ...common };
    const end = { ph: 'e', ts: this.#microseconds(answered), ...common, args: { result: outcome } };
    return `${JSON.stringify(begin)},\n${JSON.stringify(end)}`;
  }

  #microseconds(milliseconds: number): number {
    return Math.round((milliseconds - this.#start) * 1e6) / 1000;
  }

  /** Writes the rest, once the enclave has ended, and closes the file. Throws what a write failed with. */
  async close(): Promise<TraceSummary> {
    if (!this.#closed) await this.#finish();
    if (this.#failure !== undefined) throw this.#failure;
    const dropped = this.#buffers.reduce((sum, buffer) => sum + buffer.dropped, this.#dropped);
    return { calls: this.#calls, dropped };
  }

  async #finish(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#writing;
    for (let before = -1; before !== this.#calls + this.#dropped; ) {
      before = this.#calls + this.#dropped;
      await this.#drain();
    }
    await this.#file.write('\n]}\n');
    await this.#file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function errorName(result: number): string | number {
  try {
    return getSystemErrorName(result);
  } catch {
    return result;
  }
}
