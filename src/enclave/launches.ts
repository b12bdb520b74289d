import { decode, encode } from '../boundary/encoding.ts';
import {
  LAUNCH_SLOT_BITS,
  LaunchKind,
  launchPayload,
  OutcomeStatus,
  outcomePayload,
} from '../boundary/launch.ts';
import { CONTROL, LAUNCHES } from '../boundary/layout.ts';
import { CompletionWriter, Request, SubmissionReader } from '../boundary/ring.ts';
import { HostViolation, SgxioError } from '../errors.ts';
import { LAUNCH_PAYLOAD_MAX, LAUNCHES_IN_FLIGHT_MAX } from '../limits.ts';
import { privateAddress } from '../linux/addresses.ts';
import { signalEvent } from '../linux/events.ts';
import { copyMemory, type SharedMapping } from '../linux/memory.ts';

/** The functions that a program exports, by name. */
export type Exports = ReadonlyMap<string, (...values: never[]) => unknown>;

/**
 * Takes what the host launches and runs it. A launch is a request, not an entry: the enclave looks for it
 * when it gets to it. Arguments are copied in before they are decoded; nothing is run twice.
 */
export class LaunchServer {
  readonly #address: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #reader: SubmissionReader;
  readonly #writer: CompletionWriter;
  readonly #request = new Request();
  readonly #running = new Uint8Array(LAUNCHES_IN_FLIGHT_MAX);
  readonly #outcomeBell: number;
  readonly #exports: Exports;
  #sleeps = 0;
  #rung = 0;

  /** `outcomeBell` is the descriptor that wakes the host's event loop. */
  constructor(boundary: SharedMapping, outcomeBell: number, exports: Exports) {
    this.#address = boundary.address;
    this.#words = new Int32Array(boundary.buffer);
    this.#reader = new SubmissionReader({
      words: this.#words,
      entries: LAUNCHES.launchRing,
      size: LAUNCHES_IN_FLIGHT_MAX,
      taken: CONTROL.launchesTaken,
    });
    this.#writer = new CompletionWriter({
      words: this.#words,
      entries: LAUNCHES.outcomeRing,
      size: LAUNCHES_IN_FLIGHT_MAX,
      taken: CONTROL.outcomesTaken,
    });
    this.#outcomeBell = outcomeBell;
    this.#exports = exports;
  }

  /** Starts every launch that has come in and says how many they were. */
  poll(): number {
    let count = 0;
    while (this.#reader.read(this.#request)) {
      count++;
      this.#take(this.#request);
    }
    return count;
  }

  /** Asks to be woken for the next launch; true when one has come in already. */
  park(): boolean {
    this.#sleeps = (this.#sleeps & 0x3fff_ffff) + 1;
    this.#reader.acknowledge();
    Atomics.store(this.#words, CONTROL.launchesParked >> 2, this.#sleeps);
    return this.#reader.waiting();
  }

  unpark(): void {
    Atomics.store(this.#words, CONTROL.launchesParked >> 2, 0);
  }

  #take({ kind, id, length }: Request): void {
    const slot = id & (LAUNCHES_IN_FLIGHT_MAX - 1);
    if (kind !== LaunchKind.run || id >>> LAUNCH_SLOT_BITS === 0)
      throw new HostViolation(`launch ${id} is of no kind that there is`);
    if (length < 0 || length > LAUNCH_PAYLOAD_MAX)
      throw new HostViolation(`launch ${id} claims ${length} bytes of arguments`);
    if (this.#running[slot] === 1)
      throw new HostViolation(`launch ${id} names a slot whose launch is running`);
    this.#running[slot] = 1;
    const bytes = new Uint8Array(length);
    if (length > 0) copyMemory(privateAddress(bytes), this.#address + launchPayload(slot), length);
    void this.#run(id, slot, bytes);
  }

  async #run(id: number, slot: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let status: number = OutcomeStatus.rejected;
    let outcome: Uint8Array<ArrayBuffer>;
    try {
      const [name, ...values] = this.#decodeLaunch(bytes);
      const launched = this.#exports.get(name);
      if (launched === undefined) {
        throw new SgxioError(
          'SGXIO_LAUNCH_REJECTED',
          `the program exports no function ${JSON.stringify(name)}; it has ${[...this.#exports.keys()].join(', ') || 'none'}`,
        );
      }
      status = OutcomeStatus.threw;
      outcome = encode(await launched(...(values as never[])), 'result', LAUNCH_PAYLOAD_MAX);
      status = OutcomeStatus.returned;
    } catch (error) {
      outcome = encode(describe(error), 'error', LAUNCH_PAYLOAD_MAX);
    }
    this.#answer(id, slot, status, outcome);
  }

  #decodeLaunch(bytes: Uint8Array<ArrayBuffer>): [string, ...unknown[]] {
    const launch = decode(bytes, 'arguments', LAUNCH_PAYLOAD_MAX);
    if (!Array.isArray(launch) || typeof launch[0] !== 'string') {
      throw new SgxioError('SGXIO_LAUNCH_REJECTED', 'a launch is a name and its arguments');
    }
    return launch as [string, ...unknown[]];
  }

  #answer(id: number, slot: number, status: number, outcome: Uint8Array<ArrayBuffer>): void {
    if (!this.#writer.hasRoom())
      throw new HostViolation('the host has more launches in flight than there are');
    if (outcome.length > 0)
      copyMemory(this.#address + outcomePayload(slot), privateAddress(outcome), outcome.length);
    this.#running[slot] = 0;
    this.#writer.write(id, status, outcome.length, 0);
    const parked = Atomics.load(this.#words, CONTROL.outcomesParked >> 2);
    if (parked === 0 || parked === this.#rung) return;
    this.#rung = parked;
    signalEvent(this.#outcomeBell);
  }

  /** Launches that run now. */
  get runningCount(): number {
    let count = 0;
    for (const running of this.#running) count += running;
    return count;
  }
}

/** What of an error crosses to the host: its name, code and message, never its stack or its other properties. */
function describe(error: unknown): { name: string; code: string; message: string } {
  if (!(error instanceof Error))
    return { name: 'Error', code: '', message: 'the program threw something that is no Error' };
  const code = (error as { code?: unknown }).code;
  return {
    name: error.name.slice(0, 128),
    code: typeof code === 'string' ? code.slice(0, 128) : '',
    message: error.message.slice(0, 8192),
  };
}
