import { availableParallelism } from 'node:os';
import { PAGE_BYTES, PRIVATE_MEMORY_BYTES_DEFAULT } from '../limits.ts';
import { createSecretMemory, unmap } from '../linux/memory.ts';
import { hasIoUring, landlockVersion, lockedMemoryLimit } from '../linux/process.ts';
import { hasSeccomp } from '../linux/seccomp.ts';

/** One property of this machine that an enclave rests on or profits from. */
export interface MachineCheck {
  readonly name: string;
  readonly status: 'enforced' | 'missing';
  /** Without it no enclave runs here. */
  readonly required: boolean;
  /** What was found, in a few words. */
  readonly finding: string;
  /** What to do when it is missing. */
  readonly advice: readonly string[];
}

/** The three ways to raise the limit of locked memory, for a shell, a user, and a service or container. */
export const LOCKED_MEMORY_ADVICE: readonly string[] = [
  'for this shell: sudo prlimit --pid $$ --memlock=unlimited',
  "for a user, from the next login on: echo 'NAME - memlock unlimited' | sudo tee /etc/security/limits.d/sgxio.conf",
  'for a service LimitMEMLOCK=infinity in its unit, for a container --ulimit memlock=-1',
];

/** The cores that a worker and an enclave thread need to run at the same time. */
const CORES = 2;

/** Tries what an enclave needs on this machine, as this user and under these limits. */
export function checkMachine(): MachineCheck[] {
  const limit = lockedMemoryLimit();
  const secret = trySecretMemory();
  const landlock = landlockVersion();
  const cores = availableParallelism();
  return [
    check(
      'secret memory',
      true,
      secret === undefined,
      secret ?? 'memfd_secret keeps private memory from root',
      [
        'run a kernel 5.14 or later with CONFIG_SECRETMEM; before 6.5 boot it with secretmem.enable=1',
        'in a container, allow memfd_secret in its seccomp profile',
      ],
    ),
    check(
      'locked memory',
      true,
      limit >= PRIVATE_MEMORY_BYTES_DEFAULT,
      `an enclave may have ${limit === Number.POSITIVE_INFINITY ? 'any amount' : `${limit} bytes`} of private memory`,
      LOCKED_MEMORY_ADVICE,
    ),
    check('seccomp', true, hasSeccomp(), 'a filter takes its system calls from an enclave', [
      'run a kernel with CONFIG_SECCOMP_FILTER, on x64 or arm64',
    ]),
    check('Landlock', false, landlock > 0, `version ${landlock}`, [
      'run a kernel 5.13 or later with landlock in CONFIG_LSM; enclaves do without it',
    ]),
    check('io_uring', false, hasIoUring(), 'the host may make rings of the kernel', [
      'set kernel.io_uring_disabled=0, or allow it in the container; hosts do without it',
    ]),
    check('cores', false, cores >= CORES, `${cores} for enclave threads and host workers`, [
      `give it ${CORES} cores; on one, every call waits for the other side to be scheduled`,
    ]),
  ];
}

function check(
  name: string,
  required: boolean,
  holds: boolean,
  finding: string,
  advice: readonly string[],
): MachineCheck {
  return { name, status: holds ? 'enforced' : 'missing', required, finding, advice: holds ? [] : advice };
}

/** Why there is none, or undefined. The limit of locked memory is not the kernel's fault: it has its own check. */
function trySecretMemory(): string | undefined {
  try {
    const { address } = createSecretMemory(PAGE_BYTES);
    unmap(address, PAGE_BYTES);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EAGAIN' ? undefined : `memfd_secret fails with ${code}`;
  }
}
