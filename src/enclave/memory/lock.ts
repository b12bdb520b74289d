/** Long enough for a fault of another thread on another core, short enough to give up a core that both need. */
const SPINS = 2000;
const SLEEP_MILLISECONDS = 0.05;

/** Nobody notifies it: it is where a thread sleeps for a moment. */
const pillow = new Int32Array(new SharedArrayBuffer(4));

/**
 * Takes the lock in a word of private memory, shared by threads of the enclave. `Atomics.wait` wants a
 * `SharedArrayBuffer`, which private memory is not, so a thread that waits long sleeps by turns.
 */
export function lock(words: Int32Array, word: number): void {
  let spins = 0;
  while (Atomics.compareExchange(words, word, 0, 1) !== 0) {
    if (++spins % SPINS === 0) Atomics.wait(pillow, 0, 0, SLEEP_MILLISECONDS);
  }
}

export function unlock(words: Int32Array, word: number): void {
  Atomics.store(words, word, 0);
}
