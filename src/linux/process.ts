import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import process from 'node:process';
import { check, declare, lastErrno, systemError } from './ffi.ts';

const prctl: (option: number, a: number, b: number, c: number, d: number) => number = declare(
  'int prctl(int, ulong, ulong, ulong, ulong)',
);
const prlimit: (
  pid: number,
  resource: number,
  set: BigUint64Array | null,
  get: BigUint64Array | null,
) => number = declare('int prlimit64(int, int, void *, void *)');
const signal: (number: number, handler: number) => number = declare('intptr_t signal(int, intptr_t)');
const closeRange: (number: number, first: number, last: number, flags: number) => number = declare(
  'int64 syscall(int64, uint, uint, uint)',
);
const landlock: (number: number, attributes: null, bytes: number, flags: number) => number = declare(
  'int64 syscall(int64, void *, size_t, uint)',
);
const ioUringSetup: (number: number, entries: number, parameters: Uint8Array) => number = declare(
  'int64 syscall(int64, uint, void *)',
);
const close: (descriptor: number) => number = declare('int close(int)');
const clockGetTime: (clock: number, time: BigInt64Array) => number = declare(
  'int clock_gettime(int, void *)',
);
const dup2: (from: number, to: number) => number = declare('int dup2(int, int)');
const immediateExit: (code: number) => void = declare('void _exit(int)');

const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const SIGKILL = 9;
/** The numbers of system calls that came after 2011 are the same on every architecture. */
const SYS_IO_URING_SETUP = 425;
const SYS_CLOSE_RANGE = 436;
const SYS_LANDLOCK_CREATE_RULESET = 444;
const LANDLOCK_CREATE_RULESET_VERSION = 1;
const IO_URING_PARAMETERS_BYTES = 120;
const LAST_DESCRIPTOR = 0xffff_ffff;

const SIG_IGN = 1;
const LAST_SIGNAL = 64;
/**
 * Signals that stay as they are: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE and SIGSEGV, which a fault of the
 * process itself raises (WebAssembly's bounds checks rely on SIGSEGV); SIGKILL and SIGSTOP, which nobody can
 * ignore; 32 and 33, which belong to the C library.
 */
const KEPT_SIGNALS: ReadonlySet<number> = new Set([4, 5, 6, 7, 8, 9, 11, 19, 32, 33]);

const RESOURCES = { core: 4, processes: 6, descriptors: 7, lockedMemory: 8 } as const;
const UNLIMITED = 0xffff_ffff_ffff_ffffn;
const CAP_IPC_LOCK = 14n;

/** The clock that counts what all threads of a process have run, as the kernel numbers it: its pid inverted, and a kind. */
const CLOCK_PID_SHIFT = 3;
const CLOCK_KIND_SCHEDULER = 2;
const NANOSECONDS_A_SECOND = 1e9;

/**
 * Processor time that a process has used so far, its own and the kernel's for it, in nanoseconds; what its threads used
 * that have ended is in it. Throws a `SystemError`, EINVAL, where there is no such process.
 */
export function processorTime(pid: number): number {
  const time = new BigInt64Array(2);
  check(clockGetTime((~pid << CLOCK_PID_SHIFT) | CLOCK_KIND_SCHEDULER, time), 'clock_gettime', `pid ${pid}`);
  return Number(time[0]) * NANOSECONDS_A_SECOND + Number(time[1]);
}

/** No other process of this user may trace this one, read its memory or find a core of it. */
export function forbidInspection(): void {
  check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 'prctl', 'PR_SET_DUMPABLE');
}

/** Neither this process nor its children gain privileges by running a set-user-id program. */
export function forbidNewPrivileges(): void {
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 'prctl', 'PR_SET_NO_NEW_PRIVS');
}

/**
 * The kernel kills this process when the thread that started it ends. A parent that is gone already cannot end
 * any more, so this process then exits at once.
 */
export function dieWithParent(parent: number): void {
  check(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), 'prctl', 'PR_SET_PDEATHSIG');
  if (process.ppid !== parent) exitNow(1);
}

/** Ignores every signal that is sent from outside: none of them reaches a handler. */
export function ignoreSignals(): void {
  for (let number = 1; number <= LAST_SIGNAL; number++) {
    if (!KEPT_SIGNALS.has(number) && signal(number, SIG_IGN) === -1) {
      throw systemError(lastErrno(), 'signal', String(number));
    }
  }
}

/** Ends the process now, on every thread, without running anything more of it. */
export function exitNow(code: number): never {
  immediateExit(code);
  throw new Error('_exit returned');
}

/** Soft limit of a resource of this process; `Infinity` when there is none. */
export function resourceLimit(resource: keyof typeof RESOURCES): number {
  const limit = new BigUint64Array(2);
  check(prlimit(0, RESOURCES[resource], null, limit), 'prlimit', resource);
  return limit[0] === UNLIMITED ? Number.POSITIVE_INFINITY : Number(limit[0]);
}

/** Sets the soft and the hard limit: it cannot be raised again without privileges. */
export function setResourceLimit(resource: keyof typeof RESOURCES, value: number): void {
  check(
    prlimit(0, RESOURCES[resource], BigUint64Array.of(BigInt(value), BigInt(value)), null),
    'prlimit',
    resource,
  );
}

/** How many bytes a child of this process may lock, which is what bounds its secret memory. */
export function lockedMemoryLimit(): number {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const exempt = ((BigInt(`0x${capabilities}`) >> CAP_IPC_LOCK) & 1n) === 1n;
  return exempt ? Number.POSITIVE_INFINITY : resourceLimit('lockedMemory');
}

/**
 * The descriptors that the runtime made for its event loops and threads: pollers, event counters, and pipes
 * whose two ends are both held here.
 */
export function runtimeDescriptors(): number[] {
  const links = openDescriptors();
  const targets = [...links.values()];
  return [...links]
    .filter(([, target]) => /^anon_inode:\[event(poll|fd)\]$/.test(target) || isInnerPipe(target, targets))
    .map(([descriptor]) => descriptor);
}

/** What is open, and what each descriptor stands for as the kernel names it. */
export function openDescriptors(): Map<number, string> {
  const links = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    const target = linkTarget(`/proc/self/fd/${name}`);
    if (target !== undefined) links.set(Number(name), target);
  }
  return links;
}

/** Undefined for the descriptor that read the directory, which is closed by now. */
function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function isInnerPipe(target: string, targets: readonly string[]): boolean {
  return target.startsWith('pipe:') && targets.indexOf(target) !== targets.lastIndexOf(target);
}

/** Makes descriptors read as empty and swallow what is written, whatever they were. */
export function silence(descriptors: readonly number[]): void {
  const nothing = openSync('/dev/null', 'r+');
  for (const descriptor of descriptors) check(dup2(nothing, descriptor), 'dup2', String(descriptor));
  closeSync(nothing);
}

/** Closes every descriptor but those of `keep`. */
export function closeAllExcept(keep: readonly number[]): void {
  let first = 0;
  for (const descriptor of keep.toSorted((left, right) => left - right)) {
    if (descriptor > first) closeFrom(first, descriptor - 1);
    first = Math.max(first, descriptor + 1);
  }
  closeFrom(first, LAST_DESCRIPTOR);
}

function closeFrom(first: number, last: number): void {
  check(closeRange(SYS_CLOSE_RANGE, first, last, 0), 'close_range');
}

/** The version of Landlock that this kernel enforces, 0 when it has none. */
export function landlockVersion(): number {
  return Math.max(0, landlock(SYS_LANDLOCK_CREATE_RULESET, null, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

/** Whether this process may make an io_uring (a setting or a container often forbids it). */
export function hasIoUring(): boolean {
  const descriptor = ioUringSetup(SYS_IO_URING_SETUP, 1, new Uint8Array(IO_URING_PARAMETERS_BYTES));
  if (descriptor >= 0) close(descriptor);
  return descriptor >= 0;
}
