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
  silence,
} from '../linux/process.ts';
import { installFilter } from '../linux/seccomp.ts';

export interface LockDownOptions {
  /**
   * The descriptors that the enclave goes on using; the runtime's own are kept beside them. Standard streams that
   * are not among them stay open on nothing: to print is no reason to fail.
   */
  readonly keep: readonly number[];
}

const STANDARD_STREAMS = [0, 1, 2];

/**
 * Turns this process into an enclave, for good: from here on it computes, waits, and reads and writes the
 * descriptors that it kept. It opens nothing, starts nothing, and nobody looks into it.
 *
 * Memory must be mapped, threads started and code loaded before.
 */
export function lockDown({ keep }: LockDownOptions): void {
  refuseInspector();
  silence(STANDARD_STREAMS.filter((stream) => !keep.includes(stream)));
  startLazyParts();
  // However the process comes to its end, for the runtime's own way out asks for what is refused from now on. It
  // would also print an uncaught error: who locks down reports those.
  process.on('exit', leave);
  forbidNewPrivileges();
  forbidInspection();
  dieWithParent(process.ppid);
  ignoreSignals();
  setResourceLimit('core', 0);
  setResourceLimit('processes', 0);
  const kept = [...new Set([...keep, ...STANDARD_STREAMS, ...runtimeDescriptors()])];
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
function startLazyParts(): void {
  void process.stdout;
  void process.stderr;
  // The first job starts all threads of the pool, before this call returns.
  randomBytes(1, () => {});
}
