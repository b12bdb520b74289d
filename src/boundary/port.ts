/**
 * One interface between the calls of a program and whatever serves them: the rings to a host worker, or the
 * same services in place. A program cannot tell which, but for the time it takes.
 */
export interface CompletionSink {
  /** Takes one answer: the id of the call, its result (or a negative error number), and two more words. */
  complete(id: number, result: number, extra0: number, extra1: number): void;
}

export interface Port {
  /**
   * Hands one call over. `payload` is what {@link reserve} gave, or 0 with `length` 0. `timeout` is in
   * milliseconds, or -1 for none.
   */
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
  ): void;
  /** Passes all answers that are there to the sink and says how many they were. */
  poll(): number;
  /** Sleeps until an answer may be there, at most so many milliseconds. */
  park(milliseconds: number): void;
  /**
   * Says that this thread is about to sleep in its event loop and wants {@link bell} to become readable when
   * something happens. True when something has: then it must not sleep.
   */
  parkOnBell(): boolean;
  /** Ends what {@link parkOnBell} began. */
  unpark(): void;
  /** A descriptor for the event loop to watch. */
  readonly bell: number;
  /** Lets other threads run for a moment. */
  yield(): void;

  /** Whether calls are served on the thread that makes them, so that none goes on while the thread does. */
  readonly inPlace: boolean;

  /** Finds room that the server of a call can reach for `length` bytes of `view` from `offset`; -1 when there is none. */
  reserve(view: Uint8Array<ArrayBuffer>, offset: number, length: number): number;
  /** Makes bytes of `view` visible to the server. */
  copyOut(payload: number, view: Uint8Array<ArrayBuffer>, offset: number, length: number): void;
  /** Takes what the server left into `view`. */
  copyIn(payload: number, view: Uint8Array<ArrayBuffer>, offset: number, length: number): void;
  /** Gives the room back. */
  release(payload: number): void;
  /** Blocks of room that are given out now. */
  readonly blocksInUse: number;
}
