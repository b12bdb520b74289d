import process from 'node:process';
import { processorTime } from '../linux/process.ts';

/** Processor time that a process has used so far, its own and the kernel's for it, in nanoseconds. */
export function processorNanoseconds(pid: number): number {
  return processorTime(pid);
}

/** The same in microseconds. */
export function processorMicroseconds(pid: number): number {
  return processorTime(pid) / 1000;
}

/**
 * What this process, the host of an enclave with its workers, and that enclave have used together, in nanoseconds;
 * this process alone where there is no enclave.
 */
export function processorOfBoth(enclave: { readonly pid?: number | undefined } | undefined): number {
  const own = processorTime(process.pid);
  return enclave?.pid === undefined ? own : own + processorTime(enclave.pid);
}
