import { setTimeout as sleep } from 'node:timers/promises';

/** Looks again and again until something holds: for what has no event of its own. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(1);
}
