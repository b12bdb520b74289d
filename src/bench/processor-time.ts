import { readFile } from 'node:fs/promises';

const MICROSECONDS_A_TICK = 10_000;

/** Processor time that a process has used so far, its own and the kernel's for it, in microseconds. */
export async function processorMicroseconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name of the process stands in parentheses and may hold anything, so fields count from the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MICROSECONDS_A_TICK;
}
