import process from 'node:process';

/** Threads that must have ended before those of Node's own are joined. */
export interface EndsBeforeExit {
  /** Tells them to end, and returns at once. */
  askToEnd(): void;
  /** Blocks until they have ended, or until a moment on the clock of `performance`. */
  waitUntilEnded(until: number): void;
}

/** How long the exit of a process waits for them all. A thread that is still loading takes most of it. */
const EXIT_MILLISECONDS = 2000;

const running = new Set<EndsBeforeExit>();

/**
 * Lets threads end in their own way when this thread of the host exits, by `process.exit` or by an error that nobody
 * caught. Node would wait for one that sleeps in the kernel, and aborts when it terminates one that is just loading
 * native code. One listener serves all.
 */
export function endBeforeExit(threads: EndsBeforeExit): void {
  if (running.size === 0) process.on('exit', endAll);
  running.add(threads);
}

/** They have ended. */
export function forgetEnded(threads: EndsBeforeExit): void {
  running.delete(threads);
  if (running.size === 0) process.off('exit', endAll);
}

function endAll(): void {
  const until = performance.now() + EXIT_MILLISECONDS;
  for (const threads of running) threads.askToEnd();
  for (const threads of running) threads.waitUntilEnded(until);
}
