import { monotonicTime, sleep, sleepAsync, wallTime } from '../../src/enclave.ts';

/** How long sleeps took, at least. */
export async function sleeps(milliseconds: number): Promise<number[]> {
  const began = performance.now();
  sleep(milliseconds);
  const between = performance.now();
  await sleepAsync(milliseconds);
  return [between - began, performance.now() - between];
}

export async function abortSleep(): Promise<string> {
  const controller = new AbortController();
  const sleeping = sleepAsync(1_000_000, controller.signal);
  controller.abort();
  return await sleeping.then(
    () => 'slept',
    (error: { code: string }) => error.code,
  );
}

/** Readings of both clocks, in turn. */
export function readings(count: number): [wall: number[], monotonic: number[]] {
  const wall: number[] = [];
  const monotonic: number[] = [];
  for (let index = 0; index < count; index++) {
    wall.push(wallTime());
    monotonic.push(monotonicTime());
  }
  return [wall, monotonic];
}

export function invalidSleeps(): string[] {
  return [-1, Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY].map((milliseconds) => {
    try {
      sleep(milliseconds);
      return 'slept';
    } catch (error) {
      return (error as { code: string }).code;
    }
  });
}

export async function timers(): Promise<string[]> {
  const fired: string[] = [];
  await new Promise<void>((resolve) => {
    const interval = setInterval(() => {
      fired.push('interval');
      if (fired.length < 4) return;
      clearInterval(interval);
      resolve();
    }, 2);
    setTimeout(() => fired.push('timeout'), 1);
    setImmediate(() => fired.push('immediate'));
  });
  return fired;
}
