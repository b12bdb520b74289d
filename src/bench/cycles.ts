import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Cycles of the processor as `perf stat` counts them. */

const COUNT = ['stat', '--field-separator', ',', '--event', 'cycles'];
const ATTACH_MILLISECONDS = 200;

/** Why no cycles can be counted here; undefined where they can. */
export async function whyNoCycles(): Promise<string | undefined> {
  try {
    const { stderr } = await promisify(execFile)('perf', [...COUNT, 'true']);
    return cyclesOf(stderr) === undefined
      ? 'this processor, or the machine around it, counts none'
      : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return 'perf is not installed (Debian: linux-perf)';
    return 'perf may not count here (see /proc/sys/kernel/perf_event_paranoid)';
  }
}

/** Cycles that these processes use while `run` runs. */
export async function countCycles(pids: readonly number[], run: () => Promise<unknown>): Promise<number> {
  const perf = spawn('perf', [...COUNT, '--pid', pids.join(',')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = once(perf, 'close');
  let report = '';
  perf.stderr.on('data', (chunk: Buffer) => {
    report += chunk;
  });
  // It says nothing when it has begun.
  await delay(ATTACH_MILLISECONDS);
  await run();
  perf.kill('SIGINT');
  await closed;
  return cyclesOf(report) ?? 0;
}

function cyclesOf(report: string): number | undefined {
  const count = /^(\d+),[^,]*,cycles/m.exec(report)?.[1];
  return count === undefined ? undefined : Number(count);
}
