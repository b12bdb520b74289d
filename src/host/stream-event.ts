/** A moment in a stream: all that was given to it before is done. It is complete once, for good. */
export class StreamEvent {
  #settled = false;
  #error: Error | undefined;
  #waiting: ((error: Error | undefined) => void)[] = [];

  /** Whether that moment has come, or can come no more. */
  query(): boolean {
    return this.#settled;
  }

  /** Resolves at that moment; fails when an operation before it did. */
  synchronize(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.whenSettled((error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** Calls back at that moment, or now when it has come. */
  whenSettled(callback: (error: Error | undefined) => void): void {
    if (this.#settled) callback(this.#error);
    else this.#waiting.push(callback);
  }

  settle(error: Error | undefined): void {
    this.#settled = true;
    this.#error = error;
    for (const callback of this.#waiting.splice(0)) callback(error);
  }
}
