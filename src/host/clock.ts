import type { Request } from '../boundary/ring.ts';
import type { Executor } from './executor.ts';

const NANOSECONDS_A_SECOND = 1e9;

/** Answers with whole seconds and nanoseconds: of the wall clock (a0 = 0) or the monotonic one (a0 = 1). */
export function clock(executor: Executor, request: Request): void {
  if (request.a0 === 0) {
    const milliseconds = performance.timeOrigin + performance.now();
    const seconds = Math.floor(milliseconds / 1000);
    executor.complete(request.id, 0, seconds | 0, Math.floor((milliseconds - seconds * 1000) * 1e6));
    return;
  }
  const milliseconds = performance.now();
  const seconds = Math.floor(milliseconds / 1000);
  executor.complete(
    request.id,
    0,
    seconds | 0,
    Math.floor((milliseconds - seconds * 1000) * 1e6) % NANOSECONDS_A_SECOND,
  );
}

export function nothing(executor: Executor, request: Request): void {
  executor.complete(request.id, 0);
}
