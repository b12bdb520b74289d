import { Count } from '../boundary/counters.ts';
import { type ChannelLayout, Parked } from '../boundary/layout.ts';
import type { CompletionSink } from '../boundary/port.ts';
import { CompletionWriter } from '../boundary/ring.ts';
import { RING_ENTRIES } from '../limits.ts';
import { futexWake, signalEvent } from '../linux/events.ts';
import type { SharedMapping } from '../linux/memory.ts';
import type { Journal } from './journal.ts';

/** Answers on their way to the enclave: the completion ring, and what does not fit it yet. */
export class RingSink implements CompletionSink {
  readonly #writer: CompletionWriter;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #parkedWord: number;
  readonly #bellWord: number;
  readonly #bellAddress: number;
  readonly #enclaveBell: number;
  /** Answers that found the ring full, four words each: a batch, and those of the calls that were kept. */
  #overflow: number[] = [];
  #rung = 0;
  readonly #journal: Journal;

  /** `enclaveBell` is the descriptor that wakes the enclave thread's event loop. */
  constructor(boundary: SharedMapping, layout: ChannelLayout, enclaveBell: number, journal: Journal) {
    this.#journal = journal;
    this.#words = new Int32Array(boundary.buffer);
    this.#writer = new CompletionWriter({
      words: this.#words,
      entries: layout.completionRing,
      size: RING_ENTRIES,
      taken: layout.completionsTaken,
      start: journal.completionsWritten,
    });
    this.#writer.resume((id) => journal.answer(id, this.#writer.written));
    this.#parkedWord = layout.enclaveParked >> 2;
    this.#bellWord = layout.bell >> 2;
    this.#bellAddress = boundary.address + layout.bell;
    this.#enclaveBell = enclaveBell;
  }

  complete(id: number, result: number, extra0: number, extra1: number): void {
    const journal = this.#journal;
    const kind = journal.kindOf(id);
    journal.counters.end(id, kind, result);
    journal.trace?.end(id, kind, result);
    if (this.#overflow.length > 0 || !this.#writer.hasRoom()) {
      if (this.#overflow.length === 0) journal.counters.add(Count.ringFull);
      this.#overflow.push(id, result, extra0, extra1);
      return;
    }
    this.#writer.write(id, result, extra0, extra1);
    journal.answer(id, this.#writer.written);
    const parked = Atomics.load(this.#words, this.#parkedWord);
    if (parked !== Parked.awake && parked !== this.#rung) this.#ring(parked);
  }

  /** Answers in the ring so far, as a 32-bit count that wraps. */
  get written(): number {
    return this.#writer.written;
  }

  /** Whether answers wait for room in the ring. */
  get overflowing(): boolean {
    return this.#overflow.length > 0;
  }

  /** Whether one more answer fits the ring. */
  hasRoom(): boolean {
    return this.#writer.hasRoom();
  }

  /** Moves waiting answers into the ring as far as they fit. */
  flush(): void {
    const waiting = this.#overflow;
    let index = 0;
    while (index < waiting.length && this.#writer.hasRoom()) {
      const id = waiting[index] as number;
      this.#writer.write(
        id,
        waiting[index + 1] as number,
        waiting[index + 2] as number,
        waiting[index + 3] as number,
      );
      this.#journal.answer(id, this.#writer.written);
      index += 4;
    }
    this.#overflow = waiting.slice(index);
    this.wake();
  }

  /** Wakes the enclave thread if it sleeps. */
  wake(): void {
    const parked = Atomics.load(this.#words, this.#parkedWord);
    if (parked !== Parked.awake) this.#ring(parked);
  }

  /** One sleep is woken once; a word the enclave made up costs a needless system call at most. */
  #ring(parked: number): void {
    this.#rung = parked;
    this.#journal.counters.add(Count.wakes);
    if ((parked & 3) === Parked.onFutex) {
      Atomics.store(this.#words, this.#bellWord, (Atomics.load(this.#words, this.#bellWord) + 1) | 0);
      futexWake(this.#bellAddress, 1);
    } else signalEvent(this.#enclaveBell);
  }
}
