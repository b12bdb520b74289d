import { LaunchKind, ServiceNumber } from '../boundary/launch.ts';
import type { Launcher } from './launcher.ts';

/** Frames of 4 KiB in the page caches of an enclave that the host may ask for, and between what bounds. */
export interface Balloon {
  readonly frames: number;
  readonly least: number;
  readonly most: number;
}

/** Asks one thread. Its answer is what the enclave says, and no more. */
export async function askBalloon(launcher: Launcher, thread: number, frames?: number): Promise<Balloon> {
  const values = frames === undefined ? [] : [frames];
  const answer = await new Promise((resolve, reject) => {
    launcher.submit(LaunchKind.service, ServiceNumber.balloon, values, { thread }, { resolve, reject });
  });
  const { frames: held, least, most } = Object(answer) as Record<string, unknown>;
  return { frames: Number(held), least: Number(least), most: Number(most) };
}
