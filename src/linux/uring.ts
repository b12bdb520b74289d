import { constants } from 'node:os';
import { MachineError } from '../errors.ts';
import { closeDescriptor } from './events.ts';
import { check, declare, negativeErrno, systemError, viewOf } from './ffi.ts';
import { mapDescriptor, unmap } from './memory.ts';
import { Structure } from './structure.ts';

const setup: (number: number, entries: number, parameters: number) => number = declare(
  'int64 syscall(int64, uint, uintptr_t)',
);
const enter: (
  number: number,
  fd: number,
  submit: number,
  complete: number,
  flags: number,
  mask: number,
  maskBytes: number,
) => number = declare('int64 syscall(int64, int, uint, uint, uint, uintptr_t, size_t)');
const register: (number: number, fd: number, operation: number, argument: number, count: number) => number =
  declare('int64 syscall(int64, int, uint, uintptr_t, uint)');

const { EAGAIN, EBADF, EBUSY, EINTR } = constants.errno;
/** Errors of `io_uring_enter` that pass. */
const TRANSIENT: ReadonlySet<number> = new Set([EAGAIN, EBUSY, EINTR]);

/** System calls this young have one number on every machine. */
const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const SYS_IO_URING_REGISTER = 427;

const IORING_ENTER_GETEVENTS = 1;
const IORING_REGISTER_EVENTFD = 4;
const IORING_OFF_SQES = 0x1000_0000;
/** Came with Linux 5.19, as did IORING_ASYNC_CANCEL_ANY, which has no feature bit of its own. */
const IORING_FEAT_LINKED_FILE = 1 << 12;
const IORING_OP_NOP = 0;
const IORING_OP_FSYNC = 3;
const IORING_OP_POLL_ADD = 6;
const IORING_OP_ASYNC_CANCEL = 14;
const IORING_OP_READ = 22;
const IORING_OP_WRITE = 23;
const IORING_FSYNC_DATASYNC = 1;
const IORING_ASYNC_CANCEL_ALL_ANY = 1 | 4;

/** `struct io_uring_params`, and where its fields lie. */
const PARAMETERS_BYTES = 120;
const SUBMISSION_ENTRIES = 0;
const COMPLETION_ENTRIES = 4;
const FEATURES = 20;
const SUBMISSION_TAIL = 44;
const SUBMISSION_MASK = 48;
const SUBMISSION_ARRAY = 64;
const COMPLETION_HEAD = 80;
const COMPLETION_TAIL = 84;
const COMPLETION_MASK = 88;
const COMPLETIONS = 100;

const SUBMISSION_WORDS = 16;
const COMPLETION_WORDS = 4;
const TWO_TO_32 = 2 ** 32;
const NO_WORDS = new Int32Array(0);

/**
 * An io_uring of the plain kind: the kernel looks at submissions when `submit` is called. Work is queued, then
 * submitted in one system call; completions are read without any. Each carries the token that its work was
 * queued with, an integer from 0 to 2^31 - 1. Nothing but the constructor allocates.
 *
 * No more work is taken than completions have room for, so none is ever lost. Memory that work reads or fills
 * must stay until it completes, or until `close` has returned.
 */
export class Uring {
  #fd: number;
  /** How much more can be queued until completions are released. */
  #free: number;
  readonly #capacity: number;
  /** Queued, but not yet submitted. */
  #queued = 0;
  #tail = 0;
  #head = 0;
  /** The rings' heads, tails and completions, and the submissions, as 32-bit words. */
  #ring: Int32Array;
  #submissions: Int32Array;
  readonly #ringAddress: number;
  readonly #ringBytes: number;
  readonly #submissionsAddress: number;
  readonly #submissionsBytes: number;
  readonly #submissionMask: number;
  readonly #submissionTail: number;
  readonly #completionMask: number;
  readonly #completionHead: number;
  readonly #completionTail: number;
  readonly #completions: number;

  /**
   * @param entries how much work can be in flight; rounded up to a power of two.
   * @throws SystemError if the kernel refuses: EPERM or ENOSYS where io_uring is switched off.
   * @throws MachineError if the kernel is older than 5.19.
   */
  constructor(entries: number) {
    const parameters = new Structure(PARAMETERS_BYTES);
    const fieldAt = (offset: number): number => parameters.view.getUint32(offset, true);
    this.#fd = check(setup(SYS_IO_URING_SETUP, entries, parameters.address), 'io_uring_setup');
    this.#capacity = fieldAt(SUBMISSION_ENTRIES);
    this.#free = this.#capacity;
    const array = fieldAt(SUBMISSION_ARRAY);
    const completionsEnd = fieldAt(COMPLETIONS) + fieldAt(COMPLETION_ENTRIES) * COMPLETION_WORDS * 4;
    this.#ringBytes = Math.max(array + this.#capacity * 4, completionsEnd);
    this.#submissionsBytes = this.#capacity * SUBMISSION_WORDS * 4;
    try {
      if ((fieldAt(FEATURES) & IORING_FEAT_LINKED_FILE) === 0) {
        throw new MachineError(
          'SGXIO_UNSUPPORTED_MACHINE',
          'io_uring is used from Linux 5.19 on; update the kernel',
        );
      }
      this.#ringAddress = mapDescriptor(this.#fd, this.#ringBytes, 0);
      this.#submissionsAddress = mapDescriptor(this.#fd, this.#submissionsBytes, IORING_OFF_SQES);
    } catch (error) {
      closeDescriptor(this.#fd);
      throw error;
    }
    this.#ring = new Int32Array(viewOf(this.#ringAddress, this.#ringBytes));
    this.#submissions = new Int32Array(viewOf(this.#submissionsAddress, this.#submissionsBytes));
    this.#submissionTail = fieldAt(SUBMISSION_TAIL) / 4;
    this.#completionHead = fieldAt(COMPLETION_HEAD) / 4;
    this.#completionTail = fieldAt(COMPLETION_TAIL) / 4;
    this.#completions = fieldAt(COMPLETIONS) / 4;
    this.#submissionMask = this.#ring[fieldAt(SUBMISSION_MASK) / 4]!;
    this.#completionMask = this.#ring[fieldAt(COMPLETION_MASK) / 4]!;
    // Submissions are used in turn, so the array that could order them otherwise is written once.
    for (let slot = 0; slot < this.#capacity; slot++) this.#ring[array / 4 + slot] = slot;
  }

  /** What {@link releaseUring} gives back, for who outlives the thread of this ring. */
  get resources(): readonly number[] {
    return [this.#fd, this.#ringAddress, this.#ringBytes, this.#submissionsAddress, this.#submissionsBytes];
  }

  /** How much work can be in flight: queued, submitted, or complete but not released. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Signals an eventfd at every completion from here on. Returns 0 or `-errno`. */
  registerEvent(fd: number): number {
    const argument = new Structure(4);
    argument.view.setInt32(0, fd, true);
    return negativeErrno(
      register(SYS_IO_URING_REGISTER, this.#fd, IORING_REGISTER_EVENTFD, argument.address, 1),
    );
  }

  /** Each of these returns false, and queues nothing, when as much as `capacity` is in flight. */
  queueRead(fd: number, address: number, length: number, offset: number, token: number): boolean {
    return this.#queue(IORING_OP_READ, fd, address, length, offset, 0, token);
  }

  queueWrite(fd: number, address: number, length: number, offset: number, token: number): boolean {
    return this.#queue(IORING_OP_WRITE, fd, address, length, offset, 0, token);
  }

  /** Covers the writes that completed before, not those that are in flight. */
  queueSync(fd: number, token: number): boolean {
    return this.#queue(IORING_OP_FSYNC, fd, 0, 0, 0, 0, token);
  }

  queueSyncData(fd: number, token: number): boolean {
    return this.#queue(IORING_OP_FSYNC, fd, 0, 0, 0, IORING_FSYNC_DATASYNC, token);
  }

  /** Completes once, with the events that a descriptor has, of those asked for and EPOLLERR and EPOLLHUP. */
  queuePoll(fd: number, events: number, token: number): boolean {
    return this.#queue(IORING_OP_POLL_ADD, fd, 0, 0, 0, events, token);
  }

  queueNothing(token: number): boolean {
    return this.#queue(IORING_OP_NOP, -1, 0, 0, 0, 0, token);
  }

  /**
   * Hands over what is queued and waits until `minimum` completions are there. Returns how much was taken, or
   * `-errno`; what was not stays queued for the next time.
   */
  submit(minimum: number): number {
    if (this.#fd < 0) return -EBADF;
    if (this.#queued === 0 && minimum === 0) return 0;
    Atomics.store(this.#ring, this.#submissionTail, this.#tail);
    const flags = minimum === 0 ? 0 : IORING_ENTER_GETEVENTS;
    const taken = negativeErrno(enter(SYS_IO_URING_ENTER, this.#fd, this.#queued, minimum, flags, 0, 0));
    if (taken > 0) this.#queued -= taken;
    return taken;
  }

  /** How many completions there are to read, in the order in which they came. */
  get completed(): number {
    return this.#fd < 0 ? 0 : (Atomics.load(this.#ring, this.#completionTail) - this.#head) | 0;
  }

  /** `index` counts from the first that is not released and stays below `completed`. */
  tokenAt(index: number): number {
    return this.#ring[this.#completionAt(index)]!;
  }

  /** What the system call would have returned, or `-errno`. */
  resultAt(index: number): number {
    return this.#ring[this.#completionAt(index) + 2]!;
  }

  /** Makes room: forgets the first `count` completions, which must have been read. */
  release(count: number): void {
    this.#head = (this.#head + count) | 0;
    this.#free += count;
    Atomics.store(this.#ring, this.#completionHead, this.#head);
  }

  /**
   * Drops what is queued, cancels what is in flight and waits until none of it touches memory any more: a read
   * or write of a disk that has begun runs to its end. Completions that were not read are lost.
   */
  close(): void {
    if (this.#fd < 0) return;
    const submitted = this.#capacity - this.#free - this.#queued;
    if (submitted > 0) this.#cancel(submitted);
    closeDescriptor(this.#fd);
    this.#fd = -1;
    this.#free = 0;
    this.#queued = 0;
    this.#ring = NO_WORDS;
    this.#submissions = NO_WORDS;
    unmap(this.#ringAddress, this.#ringBytes);
    unmap(this.#submissionsAddress, this.#submissionsBytes);
  }

  #cancel(submitted: number): void {
    this.#tail = (this.#tail - this.#queued) | 0;
    this.#free += this.#queued + 1;
    this.#queued = 0;
    this.#queue(IORING_OP_ASYNC_CANCEL, -1, 0, 0, 0, IORING_ASYNC_CANCEL_ALL_ANY, 0);
    // The completion of the cancelling itself is one more. There is room: completions have twice the entries.
    while (this.completed < submitted + 1) {
      const result = this.submit(submitted + 1);
      if (result < 0 && !TRANSIENT.has(-result)) throw systemError(-result, 'io_uring_enter');
    }
  }

  #completionAt(index: number): number {
    return this.#completions + ((this.#head + index) & this.#completionMask) * COMPLETION_WORDS;
  }

  #queue(
    operation: number,
    fd: number,
    address: number,
    length: number,
    offset: number,
    flags: number,
    token: number,
  ): boolean {
    if (this.#free === 0) return false;
    const words = this.#submissions;
    const start = (this.#tail & this.#submissionMask) * SUBMISSION_WORDS;
    words[start] = operation;
    words[start + 1] = fd;
    words[start + 2] = offset;
    words[start + 3] = Math.floor(offset / TWO_TO_32);
    words[start + 4] = address;
    words[start + 5] = Math.floor(address / TWO_TO_32);
    words[start + 6] = length;
    words[start + 7] = flags;
    // The words behind the token are zero from the start, and nobody writes them.
    words[start + 8] = token;
    this.#tail = (this.#tail + 1) | 0;
    this.#queued++;
    this.#free--;
    return true;
  }
}

/** Gives back what a ring held, given its `resources`, once the thread that submitted to it has ended. */
export function releaseUring(resources: readonly number[]): void {
  const [fd, ringAddress, ringBytes, submissionsAddress, submissionsBytes] = resources as [
    number,
    number,
    number,
    number,
    number,
  ];
  closeDescriptor(fd);
  unmap(ringAddress, ringBytes);
  unmap(submissionsAddress, submissionsBytes);
}
