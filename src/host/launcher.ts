import { decode, encode } from '../boundary/encoding.ts';
import {
  LAUNCH_SLOT_BITS,
  LaunchKind,
  launchPayload,
  OutcomeStatus,
  outcomePayload,
} from '../boundary/launch.ts';
import { CONTROL, LAUNCHES } from '../boundary/layout.ts';
import { PollingLoop } from '../boundary/polling-loop.ts';
import { CompletionReader, SubmissionWriter } from '../boundary/ring.ts';
import { WaitPolicy } from '../boundary/waiting.ts';
import { EnclaveError, SgxioError } from '../errors.ts';
import { LAUNCH_PAYLOAD_MAX, LAUNCHES_IN_FLIGHT_MAX } from '../limits.ts';
import { drainEvent, signalEvent } from '../linux/events.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { type DescriptorWatch, watchDescriptor } from '../linux/watch.ts';

interface Launch {
  readonly id: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** An error that a program threw inside: its name, code and message crossed, nothing else did. */
export class LaunchError extends SgxioError {
  /** The `name` and the `code` that the error had inside. */
  readonly innerName: string;
  readonly innerCode: string;

  constructor(status: number, innerName: string, innerCode: string, message: string) {
    super(status === OutcomeStatus.rejected ? 'SGXIO_LAUNCH_REJECTED' : 'SGXIO_LAUNCH_FAILED', message);
    this.innerName = innerName;
    this.innerCode = innerCode;
  }
}

/** The host's end of the launch rings: queues launches and resolves their promises, without entering the enclave. */
export class Launcher {
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #writer: SubmissionWriter;
  readonly #reader: CompletionReader;
  readonly #launches: (Launch | undefined)[] = new Array(LAUNCHES_IN_FLIGHT_MAX).fill(undefined);
  readonly #generations = new Int32Array(LAUNCHES_IN_FLIGHT_MAX);
  readonly #free: number[] = Array.from(
    { length: LAUNCHES_IN_FLIGHT_MAX },
    (_, index) => LAUNCHES_IN_FLIGHT_MAX - 1 - index,
  );
  readonly #enclaveBell: number;
  readonly #policy = new WaitPolicy(true);
  readonly #loop: PollingLoop;
  readonly #watch: DescriptorWatch;
  #sleeps = 0;
  #rung = 0;
  #ended: EnclaveError | undefined;

  /** `enclaveBell` wakes the enclave's event loop, `outcomeBell` this one. */
  constructor(boundary: SharedMapping, enclaveBell: number, outcomeBell: number) {
    this.#bytes = new Uint8Array(boundary.buffer);
    this.#words = new Int32Array(boundary.buffer);
    this.#writer = new SubmissionWriter({
      words: this.#words,
      entries: LAUNCHES.launchRing,
      size: LAUNCHES_IN_FLIGHT_MAX,
      taken: CONTROL.launchesTaken,
    });
    this.#reader = new CompletionReader({
      words: this.#words,
      entries: LAUNCHES.outcomeRing,
      size: LAUNCHES_IN_FLIGHT_MAX,
      taken: CONTROL.outcomesTaken,
    });
    this.#enclaveBell = enclaveBell;
    this.#loop = new PollingLoop({
      poll: () => this.#poll(),
      awaits: () => this.inFlight > 0,
      park: () => this.#park(),
      unpark: () => this.#unpark(outcomeBell),
      spinMicroseconds: () => this.#policy.spinMicroseconds,
      record: (microseconds) => this.#policy.record(microseconds),
      fail: (error) =>
        this.fail(
          new EnclaveError('SGXIO_ENCLAVE_FAILED', 'the enclave answered what no enclave answers', {
            cause: error,
          }),
        ),
    });
    this.#watch = watchDescriptor(outcomeBell, () => this.#loop.wake());
    this.#watch.keepAlive(false);
    this.#loop.wake();
  }

  get inFlight(): number {
    return LAUNCHES_IN_FLIGHT_MAX - this.#free.length;
  }

  /** Queues one launch and returns at once. The promise settles when the program's function has. */
  launch(name: string, values: readonly unknown[]): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = encode([name, ...values], 'arguments', LAUNCH_PAYLOAD_MAX);
    } catch (error) {
      return Promise.reject(error);
    }
    const slot = this.#free.pop();
    if (slot === undefined || !this.#writer.hasRoom()) {
      if (slot !== undefined) this.#free.push(slot);
      return Promise.reject(
        new SgxioError(
          'SGXIO_CHANNEL_FULL',
          `${LAUNCHES_IN_FLIGHT_MAX} launches are in flight already; await some`,
        ),
      );
    }
    return new Promise((resolve, reject) => {
      const generation = ((this.#generations[slot] as number) % 0x3f_ffff) + 1;
      this.#generations[slot] = generation;
      const id = (generation << LAUNCH_SLOT_BITS) | slot;
      this.#launches[slot] = { id, resolve, reject };
      this.#bytes.set(bytes, launchPayload(slot));
      this.#watch.keepAlive(true);
      this.#writer.write(LaunchKind.run, id, 0, 0, bytes.length, 0, 0, 0, 0, 0, 0, -1);
      this.#wakeEnclave();
      this.#loop.wake();
    });
  }

  #wakeEnclave(): void {
    const parked = Atomics.load(this.#words, CONTROL.launchesParked >> 2);
    if (parked === 0 || parked === this.#rung) return;
    this.#rung = parked;
    signalEvent(this.#enclaveBell);
  }

  #poll(): number {
    let count = 0;
    while (this.#reader.read()) {
      count++;
      this.#settle(this.#reader.id, this.#reader.result, this.#reader.extra0);
    }
    return count;
  }

  /** An enclave is not trusted with the host's memory: its outcome is checked before it is copied and decoded. */
  #settle(id: number, status: number, length: number): void {
    const slot = id & (LAUNCHES_IN_FLIGHT_MAX - 1);
    const launch = this.#launches[slot];
    if (launch === undefined || launch.id !== id) throw new RangeError(`launch ${id} is not in flight`);
    if (length < 0 || length > LAUNCH_PAYLOAD_MAX) throw new RangeError(`an outcome of ${length} bytes`);
    const bytes = new Uint8Array(length);
    const start = outcomePayload(slot);
    bytes.set(this.#bytes.subarray(start, start + length));
    this.#launches[slot] = undefined;
    this.#free.push(slot);
    if (this.inFlight === 0) this.#watch.keepAlive(false);
    try {
      const value = decode(bytes, 'result', LAUNCH_PAYLOAD_MAX);
      if (status === OutcomeStatus.returned) launch.resolve(value);
      else launch.reject(launchError(status, value));
    } catch (error) {
      launch.reject(
        new EnclaveError('SGXIO_LAUNCH_FAILED', 'the outcome of the launch cannot be decoded', {
          cause: error,
        }),
      );
    }
  }

  #park(): boolean {
    this.#sleeps = (this.#sleeps & 0x3fff_ffff) + 1;
    this.#reader.acknowledge();
    Atomics.store(this.#words, CONTROL.outcomesParked >> 2, this.#sleeps);
    return this.#reader.waiting();
  }

  #unpark(outcomeBell: number): void {
    Atomics.store(this.#words, CONTROL.outcomesParked >> 2, 0);
    drainEvent(outcomeBell);
  }

  /** Ends it: every launch in flight fails with `error`, and so does every later one. */
  fail(error: EnclaveError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#loop.end();
    this.#watch.close();
    for (const launch of this.#launches.splice(0)) launch?.reject(error);
  }
}

function launchError(status: number, value: unknown): LaunchError {
  const { name, code, message } = Object(value) as { name?: unknown; code?: unknown; message?: unknown };
  return new LaunchError(status, String(name), String(code), String(message));
}
