import { readdir, readFile } from 'node:fs/promises';

const MICROSECONDS_A_TICK = 10_000;

/** Processor time that a process has used so far, its own and the kernel's for it, in microseconds. */
export async function processorMicroseconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name of the process stands in parentheses and may hold anything, so fields count from the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MICROSECONDS_A_TICK;
}

/** The same to the nanosecond, as the scheduler counted it for each thread that is alive. */
export async function processorNanoseconds(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(
    // A thread may end between the two readings; what it used is lost, as it would be a moment later.
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0')),
  );
  return times.reduce((sum, time) => sum + Number(time.split(' ')[0]), 0);
}
