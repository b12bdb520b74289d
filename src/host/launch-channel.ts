import { decode } from '../boundary/decoder.ts';
import type { Value } from '../boundary/encoding.ts';
import {
  LaunchKind,
  launchId,
  launchRing,
  launchRoom,
  nextGeneration,
  OutcomeStatus,
  outcomeRing,
  outcomeRoom,
  PRIORITIES,
  slotOf,
} from '../boundary/launch.ts';
import { type ChannelLayout, ThreadState } from '../boundary/layout.ts';
import { CompletionReader, SubmissionWriter } from '../boundary/ring.ts';
import { EnclaveError, SgxioError } from '../errors.ts';
import { LAUNCH_PAYLOAD_MAX, LAUNCHES_IN_FLIGHT_MAX } from '../limits.ts';
import { signalEvent } from '../linux/events.ts';
import type { SharedMapping } from '../linux/memory.ts';

/** Told how a launch ended, once. */
export interface Settler {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** One launch from the moment it is accepted until it is answered. */
export interface Launch {
  /** A {@link LaunchKind}, and which function, service or graph it runs. */
  readonly kind: number;
  readonly handle: number;
  /** Three numbers more, for the kinds that have them. */
  readonly words: readonly [number, number, number];
  readonly argumentBytes: Uint8Array<ArrayBuffer>;
  readonly priority: number;
  readonly settler: Settler;
  /** Zero until it was handed over. */
  id: number;
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

/** The host's end of one enclave thread's launch rings, and the launches that wait for room in them. */
export class LaunchChannel {
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #layout: ChannelLayout;
  readonly #writer: SubmissionWriter;
  readonly #reader: CompletionReader;
  readonly #launches: (Launch | undefined)[] = new Array(LAUNCHES_IN_FLIGHT_MAX).fill(undefined);
  readonly #generations = new Int32Array(LAUNCHES_IN_FLIGHT_MAX);
  readonly #free: number[] = Array.from(
    { length: LAUNCHES_IN_FLIGHT_MAX },
    (_, index) => LAUNCHES_IN_FLIGHT_MAX - 1 - index,
  );
  readonly #queues: readonly Set<Launch>[] = Array.from({ length: PRIORITIES }, () => new Set<Launch>());
  readonly #enclaveBell: number;
  #rung = 0;
  #failed = false;

  constructor(boundary: SharedMapping, layout: ChannelLayout, enclaveBell: number) {
    this.#bytes = new Uint8Array(boundary.buffer);
    this.#words = new Int32Array(boundary.buffer);
    this.#layout = layout;
    this.#writer = new SubmissionWriter(launchRing(this.#words, layout));
    this.#reader = new CompletionReader(outcomeRing(this.#words, layout));
    this.#enclaveBell = enclaveBell;
  }

  /** Launches that wait for room. */
  queued = 0;

  get inFlight(): number {
    return this.#failed ? 0 : LAUNCHES_IN_FLIGHT_MAX - this.#free.length;
  }

  /** Launches in flight, for who wants to tell what a thread is at. */
  running(): readonly Launch[] {
    return this.#launches.filter((launch) => launch !== undefined);
  }

  /** Hands a launch over, or queues it behind those of its priority that wait. */
  submit(launch: Launch): void {
    if (this.#free.length > 0 && this.queued === 0) this.#write(launch);
    else {
      this.#queues[launch.priority]?.add(launch);
      this.queued++;
    }
    this.#wakeEnclave();
  }

  /** Gives a launch up: one that waits is gone at once, one that was handed over keeps its slot until it is answered. */
  cancel(launch: Launch): void {
    if (launch.id === 0) {
      if (this.#queues[launch.priority]?.delete(launch) === true) this.queued--;
    } else if (this.#launches[slotOf(launch.id)] === launch) {
      this.#writer.write(LaunchKind.cancel, 0, 0, 0, 0, launch.id, 0, 0, 0, 0, 0, -1);
      this.#wakeEnclave();
    }
  }

  #write(launch: Launch): void {
    const slot = this.#free.pop() as number;
    const generation = nextGeneration(this.#generations[slot] as number);
    this.#generations[slot] = generation;
    launch.id = launchId(slot, generation);
    this.#launches[slot] = launch;
    const { kind, handle, words, argumentBytes, priority } = launch;
    const [a1, a2, a3] = words;
    const { length } = argumentBytes;
    if (length > 0) this.#bytes.set(argumentBytes, launchRoom(this.#layout, slot, length));
    this.#writer.write(kind, launch.id, handle, 0, length, priority, a1, a2, a3, 0, 0, -1);
  }

  #pump(): void {
    for (const queue of this.#queues) {
      for (const launch of queue) {
        if (this.#free.length === 0) return;
        queue.delete(launch);
        this.queued--;
        this.#write(launch);
      }
    }
  }

  #wakeEnclave(): void {
    const parked = Atomics.load(this.#words, this.#layout.launchesParked >> 2);
    if (parked === 0 || parked === this.#rung) return;
    this.#rung = parked;
    signalEvent(this.#enclaveBell);
  }

  /** Settles what was answered and says how much it was. */
  poll(): number {
    if (this.#failed) return 0;
    const reader = this.#reader;
    let count = 0;
    while (reader.read()) {
      count++;
      this.#settle(reader.id, reader.result, reader.extra0);
    }
    if (count > 0 && this.queued > 0) {
      this.#pump();
      this.#wakeEnclave();
    }
    return count;
  }

  /** Says that all outcomes so far were taken, before a sleep; true when another has come in. */
  acknowledge(): boolean {
    this.#reader.acknowledge();
    return this.#reader.waiting();
  }

  /** An enclave is not trusted with the host's memory: its outcome is checked before it is copied and decoded. */
  #settle(id: number, status: number, length: number): void {
    const slot = slotOf(id);
    const launch = this.#launches[slot];
    if (launch === undefined || launch.id !== id) throw new RangeError(`launch ${id} is not in flight`);
    if (length < 0 || length > LAUNCH_PAYLOAD_MAX) throw new RangeError(`an outcome of ${length} bytes`);
    const room = outcomeRoom(this.#layout, slot, length);
    const bytes = length > 0 ? this.#bytes.slice(room, room + length) : undefined;
    this.#launches[slot] = undefined;
    this.#free.push(slot);
    settle(launch.settler, status, bytes);
  }

  /** Whether the enclave says that this thread serves no more. */
  get isDead(): boolean {
    return Atomics.load(this.#words, this.#layout.threadState >> 2) === ThreadState.dead;
  }

  /** How often the thread has looked for launches, modulo 2^32; `undefined` while it sleeps. */
  get looks(): number | undefined {
    if (Atomics.load(this.#words, this.#layout.launchesParked >> 2) !== 0) return undefined;
    return Atomics.load(this.#words, this.#layout.looks >> 2);
  }

  /** Fails every launch of this channel, for good, and says how many they were. */
  fail(error: EnclaveError): number {
    if (this.#failed) return 0;
    const failed = [...this.running(), ...this.#queues.flatMap((queue) => [...queue])];
    this.#failed = true;
    this.#launches.fill(undefined);
    for (const queue of this.#queues) queue.clear();
    this.queued = 0;
    for (const launch of failed) launch.settler.reject(error);
    return failed.length;
  }
}

function settle(settler: Settler, status: number, bytes: Uint8Array<ArrayBuffer> | undefined): void {
  let value: Value;
  try {
    value = bytes === undefined ? undefined : decode(bytes, 'result', LAUNCH_PAYLOAD_MAX);
  } catch (cause) {
    const message = 'the outcome of the launch cannot be decoded';
    settler.reject(new EnclaveError('SGXIO_LAUNCH_FAILED', message, { cause }));
    return;
  }
  if (status === OutcomeStatus.returned) settler.resolve(value);
  else settler.reject(launchError(status, value));
}

function launchError(status: number, value: unknown): LaunchError {
  const { name, code, message } = Object(value) as { name?: unknown; code?: unknown; message?: unknown };
  return new LaunchError(status, String(name), String(code), String(message));
}
