import { randomBytes } from 'node:crypto';
import inspector from 'node:inspector';
import process from 'node:process';
import { EnclaveError } from '../errors.ts';
import {
  closeAllExcept,
  dieWithParent,
  exitNow,
  forbidInspection,
  forbidNewPrivileges,
  ignoreSignals,
  runtimeDescriptors,
  setResourceLimit,
} from '../linux/process.ts';
import { installFilter } from '../linux/seccomp.ts';

export interface LockDownOptions {
  /** The descriptors that the enclave goes on using; the runtime's own are kept beside them. */
  readonly keep: readonly number[];
}

/**
 * Turns this process into an enclave, for good: from here on it computes, waits, and reads and writes the
 * descriptors that it kept. It opens nothing, starts nothing, and nobody looks into it.
 *
 * Memory must be mapped, threads started and code loaded before.
 */
export function lockDown({ keep }: LockDownOptions): void {
  refuseInspector();
  startLazyParts(keep);
  forbidNewPrivileges();
  forbidInspection();
  dieWithParent(process.ppid);
  ignoreSignals();
  setResourceLimit('core', 0);
  setResourceLimit('processes', 0);
  const kept = [...new Set([...keep, ...runtimeDescriptors()])];
  closeAllExcept(kept);
  setResourceLimit('descriptors', 0);
  installFilter(kept);
}

/** Ends the enclave's process now. `process.exit` would first ask the system for things it is refused. */
export function leave(code: number): never {
  exitNow(code);
}

function refuseInspector(): void {
  if (inspector.url() === undefined) return;
  throw new EnclaveError(
    'SGXIO_ENCLAVE_FAILED',
    'The enclave was started under an inspector, which could read all of it; start it without --inspect.',
  );
}

/** The runtime makes these on first use, which would need system calls that are refused from now on. */
function startLazyParts(keep: readonly number[]): void {
  if (keep.includes(1)) void process.stdout;
  if (keep.includes(2)) void process.stderr;
  // The first job starts all threads of the pool, before this call returns.
  randomBytes(1, () => {});
}
