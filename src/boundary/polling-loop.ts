/** Polls of one look. */
const POLLS_A_LOOK = 8;
/** Looks, with what they woke running in between, before the event loop gets its turn: some microseconds. */
const LOOKS_A_TURN = 64;

/** Looks in vain, one after the other, before others may have the processor: some microseconds. */
const LOOKS_A_REST = 24;

/** What a {@link PollingLoop} looks after. */
export interface Polled {
  /** Handles whatever has come in and says how much it was. */
  poll(): number;
  /** Whether anything is awaited at all. */
  awaits(): boolean;
  /** Prepares for sleep: from here on, whatever comes in makes {@link PollingLoop.wake} be called. True when something came in. */
  park(): boolean;
  /** Ends what `park` began. */
  unpark(): void;
  /** Lets other threads run for a moment: who is awaited may need this processor. */
  rest(): void;
  /** How long to look, in microseconds, before sleeping. */
  spinMicroseconds(): number;
  /** Told how long nothing came in, in microseconds, before something did. */
  record(microseconds: number): void;
  /** Told of what `poll` threw: the loop has ended. */
  fail(error: unknown): void;
}

/**
 * Takes what comes in through shared memory while an event loop runs: it polls between the loop's turns as
 * long as something is likely to come soon, then sleeps until a bell rings. Tasks that were woken run before
 * the next poll.
 */
export class PollingLoop {
  readonly #polled: Polled;
  #scheduled = false;
  #parked = false;
  #ended = false;
  #quietSince = 0;
  /** Whether the last look found something, which its finder then worked on. */
  #worked = false;
  #looks = 0;
  #vain = 0;

  constructor(polled: Polled) {
    this.#polled = polled;
  }

  /** Looks again soon: something was submitted, or the bell rang. */
  wake(): void {
    if (this.#ended) return;
    if (this.#parked) {
      this.#parked = false;
      this.#polled.unpark();
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#quietSince = performance.now();
    queueMicrotask(this.#turn);
  }

  /** Stops looking, for good. */
  end(): void {
    this.#ended = true;
  }

  readonly #turn = (): void => {
    if (this.#ended) return;
    try {
      this.#look();
    } catch (error) {
      this.#ended = true;
      this.#polled.fail(error);
    }
  };

  #look(): void {
    const polled = this.#polled;
    const began = performance.now();
    // What came last was worked on until now: that was no waiting.
    if (this.#worked) this.#quietSince = began;
    let count = 0;
    for (let polls = 0; polls < POLLS_A_LOOK && count === 0; polls++) count = polled.poll();
    this.#worked = count > 0;
    if (count > 0) {
      polled.record((began - this.#quietSince) * 1000);
      this.#vain = 0;
    } else if (++this.#vain % LOOKS_A_REST === 0) polled.rest();
    if (++this.#looks < LOOKS_A_TURN) queueMicrotask(this.#turn);
    else this.#endTurn(count);
  }

  #endTurn(count: number): void {
    this.#looks = 0;
    const quietMicroseconds = (performance.now() - this.#quietSince) * 1000;
    const lively = this.#polled.awaits() && quietMicroseconds < this.#polled.spinMicroseconds();
    if (count === 0 && !lively) {
      this.#park();
      return;
    }
    setImmediate(this.#turn);
  }

  #park(): void {
    if (this.#polled.park()) {
      this.#polled.unpark();
      setImmediate(this.#turn);
      return;
    }
    this.#scheduled = false;
    this.#parked = true;
  }
}
