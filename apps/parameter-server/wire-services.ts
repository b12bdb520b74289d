import { Attempt, ByteStream, type Executor, type Handlers, type ServiceFactory } from '../../src/index.ts';
import { prepareTrace, type Trace, verifyTrace } from './trace.ts';

/**
 * A network that is played from memory by the host's side, so that a figure shows the boundary and no network:
 * each receive brings one prepared request, each send is kept and checked at the end. The same bytes come
 * whoever serves the calls.
 */

/** What a wire carries; it is prepared when the program connects to {@link WIRE_PATH}. */
export interface WireWork {
  readonly requests: number;
  readonly items: number;
  readonly seed: number;
  readonly keys: number;
}

/** Connecting here, followed by the work as JSON, plays a wire. */
export const WIRE_PATH = '/parameter-server/wire/';
/** Connecting here gives what was found on the last wire: `verified`, or why not. */
export const VERDICT_PATH = '/parameter-server/verdict';

/** Bytes of replies beside those to updates: the checksum's. */
const LAST_REPLY_BYTES = 64;
const UPDATE_REPLY_BYTES = 64;

let last: Wire | undefined;

class Wire extends ByteStream {
  readonly #trace: Trace;
  readonly #replies: Uint8Array<ArrayBuffer>;
  #next = 0;
  #received = 0;

  constructor(trace: Trace) {
    super();
    this.#trace = trace;
    this.#replies = new Uint8Array(trace.work.requests * UPDATE_REPLY_BYTES + LAST_REPLY_BYTES);
    last = this;
  }

  serve(executor: Executor, id: number, attempt: number, address: number, length: number): void {
    if (attempt === Attempt.receive) this.#give(executor, id, address, length);
    else this.#keep(executor, id, address, length);
  }

  #give(executor: Executor, id: number, address: number, length: number): void {
    const { bytes, offsets } = this.#trace;
    const frame = this.#next;
    if (frame >= offsets.length - 1) return executor.complete(id, 0);
    const begin = offsets[frame]!;
    const count = Math.min(offsets[frame + 1]! - begin, length);
    this.#next = frame + 1;
    executor.fill(address, bytes, begin, count);
    executor.complete(id, count);
  }

  #keep(executor: Executor, id: number, address: number, length: number): void {
    const count = Math.min(length, this.#replies.length - this.#received);
    executor.take(address, this.#replies, this.#received, count);
    this.#received += count;
    executor.complete(id, length);
  }

  close(): number {
    return 0;
  }

  /** `verified`, or what was wrong. Asked for when nothing is timed any more. */
  verdict(): string {
    try {
      verifyTrace(this.#trace, this.#replies.subarray(0, this.#received));
      return 'verified';
    } catch (error) {
      return (error as Error).message;
    }
  }
}

/** Says one text, then ends. */
class Text extends ByteStream {
  #bytes = new TextEncoder().encode(last?.verdict() ?? 'no wire was played');

  serve(executor: Executor, id: number, _attempt: number, address: number, length: number): void {
    const count = Math.min(this.#bytes.length, length);
    executor.fill(address, this.#bytes, 0, count);
    this.#bytes = this.#bytes.slice(count);
    executor.complete(id, count);
  }

  close(): number {
    return 0;
  }
}

const createServices: ServiceFactory = (): Handlers => ({
  connect: (executor, request) => {
    const address = new Uint8Array(request.length);
    executor.take(executor.address(request.payload), address, 0, request.length);
    const path = new TextDecoder().decode(address.subarray(2)).replace(/\0+$/, '');
    if (path.startsWith(VERDICT_PATH)) return executor.complete(request.id, executor.open(new Text()));
    const [requests, items, seed, keys] = path.slice(WIRE_PATH.length).split('-').map(Number);
    const work = { requests, items, seed, keys } as WireWork;
    executor.complete(request.id, executor.open(new Wire(prepareTrace(work))));
  },
});

export default createServices;

/** The path that plays this work. */
export function wirePath({ requests, items, seed, keys }: WireWork): string {
  return `${WIRE_PATH}${requests}-${items}-${seed}-${keys}`;
}
