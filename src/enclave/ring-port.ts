import { Count, type Counters } from '../boundary/counters.ts';
import { type ChannelLayout, Parked } from '../boundary/layout.ts';
import type { CompletionSink, Port } from '../boundary/port.ts';
import { CompletionReader, SubmissionWriter } from '../boundary/ring.ts';
import { TimeoutError } from '../errors.ts';
import { RING_ENTRIES } from '../limits.ts';
import { privateAddress } from '../linux/addresses.ts';
import { drainEvent, futexWait, signalEvent, yieldProcessor } from '../linux/events.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { copyMemory } from '../linux/memory.ts';
import { Arena } from './arena.ts';

/** How long a sleep lasts at most before its reason is looked at again, in milliseconds. */
const PARK_MILLISECONDS_MAX = 1000;
/** How long a host may leave the submission ring full, in milliseconds: an honest worker never blocks. */
const SUBMIT_MILLISECONDS_MAX = 60_000;

/** The enclave's end of one channel: calls leave through the submission ring, answers come through the other. */
export class RingPort implements Port {
  readonly #writer: SubmissionWriter;
  readonly #reader: CompletionReader;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #address: number;
  readonly #arenaAddress: number;
  readonly #arena = new Arena();
  readonly #hostParkedWord: number;
  readonly #enclaveParkedWord: number;
  readonly #bellWord: number;
  readonly #hostBell: number;
  readonly #sink: CompletionSink;
  /** The sleep of the host that was ended last; each has a number of its own. */
  #rung = 0;
  #sleeps = 0;
  /** Whether the event loop sleeps until the bell rings. */
  #loopParked = false;
  readonly #counters: Counters;

  readonly bell: number;
  readonly inPlace = false;

  /** `hostBell` wakes the worker of this channel; `bell` wakes this thread's event loop. */
  constructor(
    boundary: SharedMapping,
    layout: ChannelLayout,
    hostBell: number,
    bell: number,
    sink: CompletionSink,
    counters: Counters,
  ) {
    const words = new Int32Array(boundary.buffer);
    this.#words = words;
    this.#address = boundary.address;
    this.#arenaAddress = boundary.address + layout.arena;
    this.#writer = new SubmissionWriter({
      words,
      entries: layout.submissionRing,
      size: RING_ENTRIES,
      taken: layout.submissionsTaken,
    });
    this.#reader = new CompletionReader({
      words,
      entries: layout.completionRing,
      size: RING_ENTRIES,
      taken: layout.completionsTaken,
    });
    this.#hostParkedWord = layout.hostParked >> 2;
    this.#enclaveParkedWord = layout.enclaveParked >> 2;
    this.#bellWord = layout.bell >> 2;
    this.#hostBell = hostBell;
    this.bell = bell;
    this.#sink = sink;
    this.#counters = counters;
  }

  submit(
    kind: number,
    id: number,
    handle: number,
    payload: number,
    length: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    a4: number,
    a5: number,
    timeout: number,
  ): void {
    if (!this.#writer.hasRoom()) this.#makeRoom();
    this.#writer.write(kind, id, handle, payload, length, a0, a1, a2, a3, a4, a5, timeout);
    const parked = Atomics.load(this.#words, this.#hostParkedWord);
    if (parked !== 0 && parked !== this.#rung) this.#ringHost(parked);
  }

  /** A full ring: the worker is behind, or sleeps for want of room to answer. */
  #makeRoom(): void {
    this.#counters.add(Count.ringFull);
    const until = performance.now() + SUBMIT_MILLISECONDS_MAX;
    do {
      if (this.poll() === 0) yieldProcessor();
      const parked = Atomics.load(this.#words, this.#hostParkedWord);
      if (parked !== 0 && parked !== this.#rung) this.#ringHost(parked);
      if (performance.now() > until) {
        throw new TimeoutError(`the host took no call within ${SUBMIT_MILLISECONDS_MAX} ms`);
      }
    } while (!this.#writer.hasRoom());
  }

  #ringHost(parked: number): void {
    this.#rung = parked;
    this.#counters.add(Count.wakes);
    signalEvent(this.#hostBell);
  }

  poll(): number {
    const reader = this.#reader;
    let count = 0;
    while (reader.read()) {
      count++;
      this.#sink.complete(reader.id, reader.result, reader.extra0, reader.extra1);
    }
    return count;
  }

  park(milliseconds: number): void {
    const bell = Atomics.load(this.#words, this.#bellWord);
    this.#parkAs(Parked.onFutex);
    if (!this.#reader.waiting()) {
      this.#counters.add(Count.parks);
      futexWait(this.#address + this.#bellWord * 4, bell, Math.min(milliseconds, PARK_MILLISECONDS_MAX));
    }
    // The event loop may lie asleep below: a timer woke this thread, which then made a call and waited for it.
    if (this.#loopParked) this.#parkAs(Parked.onDescriptor);
    else Atomics.store(this.#words, this.#enclaveParkedWord, Parked.awake);
  }

  parkOnBell(): boolean {
    this.#loopParked = true;
    this.#parkAs(Parked.onDescriptor);
    if (this.#reader.waiting()) return true;
    this.#counters.add(Count.parks);
    return false;
  }

  unpark(): void {
    this.#loopParked = false;
    Atomics.store(this.#words, this.#enclaveParkedWord, Parked.awake);
    drainEvent(this.bell);
  }

  /** The low two bits say how to wake, the others count, so that one sleep is woken once. */
  #parkAs(mode: number): void {
    this.#sleeps = (this.#sleeps + 1) & 0x1fff_ffff;
    this.#reader.acknowledge();
    Atomics.store(this.#words, this.#enclaveParkedWord, (this.#sleeps << 2) | mode);
  }

  yield(): void {
    yieldProcessor();
  }

  reserve(_view: Uint8Array<ArrayBuffer>, _offset: number, length: number): number {
    return this.#arena.allocate(length);
  }

  copyOut(payload: number, view: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
    checkRange(view, offset, length);
    copyMemory(this.#arenaAddress + payload, privateAddress(view) + offset, length);
  }

  copyIn(payload: number, view: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
    checkRange(view, offset, length);
    copyMemory(privateAddress(view) + offset, this.#arenaAddress + payload, length);
  }

  release(payload: number): void {
    this.#arena.release(payload);
  }

  get blocksInUse(): number {
    return this.#arena.blocksInUse;
  }
}

/** Beyond a view, or in one whose buffer was given away meanwhile, lies memory of something else. */
function checkRange(view: Uint8Array<ArrayBuffer>, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= view.length) return;
  throw new RangeError(`${length} bytes from ${offset} do not lie in a view of ${view.length}`);
}
