/**
 * How long a wait should spin before it sleeps, learned from the waits before it.
 *
 * A wait goes through three phases: it polls without pause; then it lets others run between polls (two cores
 * are soon taken); then it sleeps. Sleeping and being woken costs some tens of microseconds, so a wait that is
 * likely to end within that time is worth spinning for, and one that is not is better slept through at once.
 */
const POLLS_WITHOUT_PAUSE = 128;
const SPIN_MICROSECONDS_MAX = 50;
const SPIN_MICROSECONDS_MIN = 4;
/**
 * How long both sides of a copy spin: the host until a part has surely been copied, the copy engine until the host
 * has had time to ask for the next. To be woken takes longer than to copy a mebibyte.
 */
export const COPY_SPIN_MICROSECONDS = 150;
/**
 * Waits of this average are worth spinning for. It is more than is ever spun, because a wait that was slept
 * through lasts as long as being woken takes, however soon its answer came: else who once slept would sleep on.
 */
const SHORT_MICROSECONDS = 300;
/** One long wait counts as this at most, so that a busy time after an idle one is soon seen for what it is. */
const LONG_MICROSECONDS = 1000;
/** Spinning that took this long was no spinning: others had the core meanwhile. */
const TAKEN_MICROSECONDS = 1000;
/**
 * Waits that sleep at once after that, as with an exit: whoever sleeps and is woken is run at once, whoever spins on
 * a core that others want has used up its turn, some milliseconds long. Once alone may be an accident; each time that
 * spinning again soon finds the core taken again, it is twice as many.
 */
const WAITS_AFTER_TAKEN = 16;
const WAITS_AFTER_TAKEN_MAX = 1024;
const SOON_MILLISECONDS = 50;
/** The weight of the newest wait in the average: one eighth. */
const WEIGHT = 0.125;

export class WaitPolicy {
  readonly #spins: boolean;
  #averageMicroseconds = 10;
  /** How many waits still sleep at once, because cores were taken. */
  #waitsToSleep = 0;
  #waitsAfterTaken = WAITS_AFTER_TAKEN;
  /** When they had all slept, on the clock of `performance`. */
  #spinsSince = Number.NEGATIVE_INFINITY;

  /** `spins: false` sleeps at once, always: the hand-over of an exit. */
  constructor(spins: boolean) {
    this.#spins = spins;
  }

  /** Polls to make before anything else is tried. */
  get pollsWithoutPause(): number {
    return this.#spins && this.#waitsToSleep === 0 ? POLLS_WITHOUT_PAUSE : 0;
  }

  /** Microseconds after which a wait of now should sleep. */
  get spinMicroseconds(): number {
    if (!this.#spins || this.#waitsToSleep > 0) return 0;
    if (this.#averageMicroseconds > SHORT_MICROSECONDS) return SPIN_MICROSECONDS_MIN;
    return SPIN_MICROSECONDS_MAX;
  }

  /** Tells how long a wait took that outlasted its polls, and how much of that passed before it slept. */
  record(microseconds: number, spunMicroseconds = 0): void {
    if (this.#waitsToSleep > 0 && --this.#waitsToSleep === 0) this.#spinsSince = performance.now();
    if (spunMicroseconds > TAKEN_MICROSECONDS) this.#sleepForSome();
    this.#averageMicroseconds +=
      (Math.min(microseconds, LONG_MICROSECONDS) - this.#averageMicroseconds) * WEIGHT;
  }

  #sleepForSome(): void {
    const isSoon = performance.now() - this.#spinsSince < SOON_MILLISECONDS;
    this.#waitsAfterTaken = isSoon
      ? Math.min(2 * this.#waitsAfterTaken, WAITS_AFTER_TAKEN_MAX)
      : WAITS_AFTER_TAKEN;
    this.#waitsToSleep = this.#waitsAfterTaken;
  }
}
