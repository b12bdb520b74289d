import { setTimeout } from 'node:timers/promises';
import { AbortError, TimeoutError } from '../../errors.ts';
import type { AsyncCallOptions } from '../transfer.ts';

/** The longest that a timer of Node's may be set to. */
const TIMER_MILLISECONDS_MAX = 0x7fff_ffff;

/** How long an asynchronous operation waits for the store: until its timeout has passed, or its signal is given. */
export class Patience {
  readonly #signal: AbortSignal | undefined;
  readonly #timeout: number | undefined;
  readonly #until: number;

  constructor({ signal, timeout }: AsyncCallOptions = {}) {
    this.#signal = signal;
    this.#timeout = timeout;
    this.#until = timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeout;
  }

  /** Throws what an operation ends with that is not to go on. */
  check(): void {
    const signal = this.#signal;
    if (signal?.aborted === true) throw new AbortError('the call was aborted', { cause: signal.reason });
    if (performance.now() <= this.#until) return;
    throw new TimeoutError(`the store did not answer within ${this.#timeout} ms`);
  }

  /** Waits for something; when patience ends before it, {@link check} throws from then on. */
  async waitFor(something: Promise<void>): Promise<void> {
    if (this.#signal === undefined && this.#timeout === undefined) return await something;
    const over = new AbortController();
    const signals = this.#signal === undefined ? [over.signal] : [this.#signal, over.signal];
    const milliseconds = Math.min(Math.ceil(this.#until - performance.now()), TIMER_MILLISECONDS_MAX);
    const end = setTimeout(milliseconds, undefined, { signal: AbortSignal.any(signals) });
    try {
      await Promise.race([something, end.catch(() => {})]);
    } finally {
      over.abort();
    }
  }
}
