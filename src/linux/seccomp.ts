import process from 'node:process';
import { MachineError } from '../errors.ts';
import { KEPT_DESCRIPTORS_MAX } from '../limits.ts';
import { addressOf, check, declare } from './ffi.ts';

/**
 * The system calls that a locked-down process still has: to compute, to wait, and to read and write the
 * descriptors that it kept. Everything else fails with EPERM, on every thread and for good.
 */

/** [x64, arm64]; arm64 never had the older of two calls that do the same. */
const NUMBERS = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  mmap: [9, 222],
  mprotect: [10, 226],
  munmap: [11, 215],
  brk: [12, 214],
  rt_sigprocmask: [14, 135],
  rt_sigreturn: [15, 139],
  readv: [19, 65],
  writev: [20, 66],
  sched_yield: [24, 124],
  mremap: [25, 216],
  madvise: [28, 233],
  getpid: [39, 172],
  exit: [60, 93],
  futex: [202, 98],
  restart_syscall: [219, 128],
  clock_gettime: [228, 113],
  exit_group: [231, 94],
  epoll_wait: [232, undefined],
  epoll_ctl: [233, 21],
  epoll_pwait: [281, 22],
  getrandom: [318, 278],
  pkey_mprotect: [329, 288],
} as const;

type SyscallName = keyof typeof NUMBERS;
/** One instruction of classic BPF: code, jump if true, jump if false, operand (linux/filter.h). */
type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, operand: number];
/** Falls through when an argument is as it should be and otherwise returns the refusal. */
type Condition = readonly Instruction[];

const LOAD_WORD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_ANY_BIT = 0x45;
const RETURN = 0x06;
const INSTRUCTION_BYTES = 8;

/** Where `struct seccomp_data` has the number, the architecture and the low words of the arguments. */
const NUMBER_OFFSET = 0;
const ARCHITECTURE_OFFSET = 4;
const ARGUMENTS_OFFSET = 16;
const ARGUMENT_BYTES = 8;

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_GET_ACTION_AVAIL = 2;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const SECCOMP_RET_KILL_PROCESS = 0x8000_0000;
const SECCOMP_RET_ERRNO = 0x0005_0000;
const SECCOMP_RET_ALLOW = 0x7fff_0000;
const EPERM = 1;
const ALLOW: Instruction = [RETURN, 0, 0, SECCOMP_RET_ALLOW];
const REFUSE: Instruction = [RETURN, 0, 0, SECCOMP_RET_ERRNO | EPERM];
const KILL_PROCESS: Instruction = [RETURN, 0, 0, SECCOMP_RET_KILL_PROCESS];

const PROT_READ_WRITE_EXECUTE = 7;
const PROT_EXECUTE = 4;
const MAP_ANONYMOUS = 0x20;

const ARCHITECTURES: Readonly<Record<string, { column: 0 | 1; audit: number; seccomp: number }>> = {
  x64: { column: 0, audit: 0xc000_003e, seccomp: 317 },
  arm64: { column: 1, audit: 0xc000_00b7, seccomp: 277 },
};

const seccomp: (number: number, operation: number, flags: number, argument: Uint8Array) => number = declare(
  'int64 syscall(int64, uint, uint, void *)',
);

/** Whether this kernel filters system calls. */
export function hasSeccomp(): boolean {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) return false;
  const action = new Uint8Array(Uint32Array.of(SECCOMP_RET_ERRNO).buffer);
  return seccomp(architecture.seccomp, SECCOMP_GET_ACTION_AVAIL, 0, action) === 0;
}

/** Installs the filter on all threads at once. `no_new_privs` must be set. */
export function installFilter(descriptors: readonly number[]): void {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined || !hasSeccomp()) {
    throw new MachineError(
      'SGXIO_UNSUPPORTED_MACHINE',
      'This kernel cannot filter system calls; run one built with CONFIG_SECCOMP_FILTER on x64 or arm64.',
    );
  }
  const program = assembleFilter(process.arch, descriptors);
  const header = new DataView(new ArrayBuffer(16));
  header.setUint16(0, program.length / INSTRUCTION_BYTES, true);
  header.setBigUint64(8, BigInt(addressOf(program)), true);
  const result = seccomp(
    architecture.seccomp,
    SECCOMP_SET_MODE_FILTER,
    SECCOMP_FILTER_FLAG_TSYNC,
    new Uint8Array(header.buffer),
  );
  check(result === 0 ? 0 : -1, 'seccomp');
}

/** The filter as the kernel takes it, for `x64` or `arm64`. */
export function assembleFilter(arch: string, descriptors: readonly number[]): Uint8Array<ArrayBuffer> {
  if (descriptors.length > KEPT_DESCRIPTORS_MAX) {
    throw new MachineError(
      'SGXIO_UNSUPPORTED_MACHINE',
      `An enclave keeps at most ${KEPT_DESCRIPTORS_MAX} descriptors; ${descriptors.length} are open.`,
    );
  }
  const { column, audit } = ARCHITECTURES[arch]!;
  const program: Instruction[] = [
    [LOAD_WORD, 0, 0, ARCHITECTURE_OFFSET],
    [JUMP_IF_EQUAL, 1, 0, audit],
    KILL_PROCESS,
    [LOAD_WORD, 0, 0, NUMBER_OFFSET],
  ];
  for (const [name, conditions] of rules(descriptors)) {
    const number = NUMBERS[name][column];
    if (number === undefined) continue;
    const block = [...conditions.flat(), ALLOW];
    program.push([JUMP_IF_EQUAL, 0, block.length, number], ...block);
  }
  program.push(REFUSE);
  return encode(program);
}

/** In the order of how often each is called: the kernel walks the rules of a call that checks arguments. */
function rules(descriptors: readonly number[]): [SyscallName, Condition[]][] {
  const kept = oneOf(0, descriptors);
  return [
    ['futex', []],
    ['read', [kept]],
    ['write', [kept]],
    ['epoll_pwait', [kept]],
    ['epoll_wait', [kept]],
    ['epoll_ctl', [kept, oneOf(2, descriptors)]],
    ['madvise', []],
    ['mprotect', [noneOf(2, ~PROT_READ_WRITE_EXECUTE)]],
    ['mmap', [allOf(3, MAP_ANONYMOUS), noneOf(2, PROT_EXECUTE)]],
    ['munmap', []],
    ['mremap', []],
    ['brk', []],
    ['readv', [kept]],
    ['writev', [kept]],
    ['close', [kept]],
    ['pkey_mprotect', [noneOf(2, ~PROT_READ_WRITE_EXECUTE)]],
    ['clock_gettime', []],
    ['sched_yield', []],
    ['getrandom', []],
    ['getpid', []],
    ['rt_sigprocmask', []],
    ['rt_sigreturn', []],
    ['restart_syscall', []],
    ['exit', []],
    ['exit_group', []],
  ];
}

/** The argument is one of the values. */
function oneOf(argument: number, values: readonly number[]): Condition {
  const tests = values.map((value, index): Instruction => [JUMP_IF_EQUAL, values.length - index, 0, value]);
  return [loadArgument(argument), ...tests, REFUSE];
}

/** The argument has none of the bits. */
function noneOf(argument: number, bits: number): Condition {
  return [loadArgument(argument), [JUMP_IF_ANY_BIT, 0, 1, bits], REFUSE];
}

/** The argument has the bit. */
function allOf(argument: number, bit: number): Condition {
  return [loadArgument(argument), [JUMP_IF_ANY_BIT, 1, 0, bit], REFUSE];
}

/** The low word alone: the kernel reads descriptors and flags as 32 bits too. */
function loadArgument(argument: number): Instruction {
  return [LOAD_WORD, 0, 0, ARGUMENTS_OFFSET + argument * ARGUMENT_BYTES];
}

function encode(program: readonly Instruction[]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(program.length * INSTRUCTION_BYTES));
  program.forEach(([code, whenTrue, whenFalse, operand], index) => {
    const at = index * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, whenTrue);
    view.setUint8(at + 3, whenFalse);
    view.setUint32(at + 4, operand, true);
  });
  return new Uint8Array(view.buffer);
}
