/**
 * Which worker serves which channel: what the host wants, and what is; and which workers there are. It lies in
 * memory that the host's threads share and the enclave never sees. The thread of the host that starts workers writes
 * what is wanted, and that a worker is there before it is; a worker writes that it has taken or left a channel, and
 * only the one that left it comes before the one that takes it, and that it has ended.
 */
const Word = { stop: 0, changes: 1, channels: 2 } as const;

/** Nobody serves the channel. */
const NOBODY = -1;

export class WorkerControl {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #channels: number;

  constructor(channels: number, buffer?: SharedArrayBuffer) {
    this.#channels = channels;
    this.buffer = buffer ?? new SharedArrayBuffer((Word.channels + 3 * channels) * 4);
    this.#words = new Int32Array(this.buffer);
    if (buffer === undefined)
      this.#words.fill(NOBODY, Word.channels + channels, Word.channels + 2 * channels);
  }

  /** Counts what was changed, so that a worker sees with one look whether anything was. */
  get changes(): number {
    return Atomics.load(this.#words, Word.changes);
  }

  #changed(): void {
    Atomics.add(this.#words, Word.changes, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, Word.stop) !== 0;
  }

  /** Tells every worker to end; whoever says so rings their bells. */
  stop(): void {
    Atomics.store(this.#words, Word.stop, 1);
    this.#changed();
  }

  /** The worker that is to serve a channel. */
  wanted(channel: number): number {
    return Atomics.load(this.#words, Word.channels + channel);
  }

  want(channel: number, worker: number): void {
    Atomics.store(this.#words, Word.channels + channel, worker);
    this.#changed();
  }

  /** The channels that a worker is to serve. */
  wantedOf(worker: number): number[] {
    return this.#all().filter((channel) => this.wanted(channel) === worker);
  }

  /** The channels that a worker serves. */
  servedBy(worker: number): number[] {
    return this.#all().filter((channel) => this.server(channel) === worker);
  }

  #all(): number[] {
    return Array.from({ length: this.#channels }, (_, channel) => channel);
  }

  /** The worker that serves a channel; -1 when none does. */
  server(channel: number): number {
    return Atomics.load(this.#words, Word.channels + this.#channels + channel);
  }

  /** Whether a channel is where it is wanted. */
  isSettled(channel: number): boolean {
    return this.server(channel) === this.wanted(channel);
  }

  /** Takes a channel that nobody serves; false when somebody does. */
  take(channel: number, worker: number): boolean {
    const word = Word.channels + this.#channels + channel;
    return Atomics.compareExchange(this.#words, word, NOBODY, worker) === NOBODY;
  }

  /** There are never more workers than channels. */
  #life(worker: number): number {
    return Word.channels + 2 * this.#channels + worker;
  }

  /** Says whether a worker has a thread: `true` before there is one, `false` by that thread itself, or after its death. */
  setAlive(worker: number, alive: boolean): void {
    Atomics.store(this.#words, this.#life(worker), alive ? 1 : 0);
    if (!alive) Atomics.notify(this.#words, this.#life(worker));
  }

  /** Blocks until a worker has no thread, at most for so many milliseconds. */
  waitForEnd(worker: number, milliseconds: number): void {
    Atomics.wait(this.#words, this.#life(worker), 1, milliseconds);
  }

  /** Leaves a channel to who is to serve it next; whoever says so rings that worker's bell. */
  leave(channel: number): void {
    Atomics.store(this.#words, Word.channels + this.#channels + channel, NOBODY);
    this.#changed();
  }
}
