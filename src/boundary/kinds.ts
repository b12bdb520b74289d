import { constants } from 'node:os';
import { HANDLES_MAX } from '../limits.ts';

/**
 * Every kind of call, with the rule that its answers must obey. The number is the wire format; the rule is
 * what the enclave holds an answer against before anything else looks at it. A kind without a rule does not
 * compile.
 */
export const CallKind = {
  nothing: 1,
  cancel: 2,
  clock: 3,
  listen: 4,
  accept: 5,
  connect: 6,
  receive: 7,
  send: 8,
  shutdown: 9,
  close: 10,
  setOption: 11,
  address: 12,
  createPoller: 13,
  watch: 14,
  poll: 15,
  echo: 16,
  openFile: 17,
  readFile: 18,
  writeFile: 19,
  syncFile: 20,
  truncateFile: 21,
  statFile: 22,
  statPath: 23,
  readDirectory: 24,
  makeDirectory: 25,
  removeDirectory: 26,
  unlink: 27,
  rename: 28,
  link: 29,
  symbolicLink: 30,
  readLink: 31,
  changeMode: 32,
  changeFileMode: 33,
  setTimes: 34,
  setFileTimes: 35,
  lockFile: 36,
  openDatagram: 37,
  connectDatagram: 38,
  receiveFrom: 39,
  sendTo: 40,
  lookup: 41,
  openStream: 42,
  readStream: 43,
  writeStream: 44,
} as const;

export type CallKindName = keyof typeof CallKind;

/** One more than the largest number of a kind. */
export const CALL_KINDS = 64;

/** What a successful answer may be, as the largest value of its result. */
export type ResultRule =
  /** Nothing but zero. */
  | 'zero'
  /** A new handle. */
  | 'handle'
  /** Bytes, at most the length of the payload. */
  | 'length'
  /** At most what the caller names as its limit. */
  | 'limit';

export interface CallRule {
  /** The name that errors show, as Node users know it. */
  readonly syscall: string;
  readonly result: ResultRule;
  /** The errors that an honest system answers this kind with; another known one becomes EIO. */
  readonly errors: readonly string[];
  /** Whether an honest host answers at once; such a call may not stay unanswered for ever. */
  readonly prompt: boolean;
  /** Which way the bytes of its result go, seen from the enclave; left out where the result is no bytes. */
  readonly carries?: 'in' | 'out';
}

const SOCKET = ['EBADF', 'EINVAL', 'ENOBUFS', 'ENOMEM', 'ENOTSOCK', 'EIO'];
const STOPPED = ['ECANCELED', 'ETIMEDOUT', 'EINTR'];
const PEER = ['ECONNRESET', 'EPIPE', 'ENOTCONN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ECONNREFUSED'];
const PATH = [
  ...['EACCES', 'EINVAL', 'EIO', 'ELOOP', 'ENAMETOOLONG', 'ENOENT', 'ENOMEM', 'ENOTDIR', 'EPERM', 'EXDEV'],
  ...['EAGAIN', 'EMFILE', 'ENFILE', 'EOVERFLOW', 'ESTALE', 'ENXIO', 'EBADF'],
  ...STOPPED,
];
const ENTRY = ['EROFS', 'ENOSPC', 'EDQUOT', 'EEXIST', 'EBUSY', 'EMLINK', 'ENOTEMPTY', 'EISDIR', 'EOPNOTSUPP'];
const FILE = [
  'EBADF',
  'EINVAL',
  'EIO',
  'EAGAIN',
  'EISDIR',
  'ENXIO',
  'EOVERFLOW',
  'ESTALE',
  'EPERM',
  ...STOPPED,
];
const DISK = ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EPIPE', 'ETXTBSY'];
const BINDS = ['EADDRINUSE', 'EADDRNOTAVAIL', 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP', 'EROFS'];
const CREATES = ['EMFILE', 'ENFILE', 'EACCES', 'EPERM', 'EAFNOSUPPORT', 'EPROTONOSUPPORT'];

export const callRules: Readonly<Record<CallKindName, CallRule>> = {
  nothing: { syscall: 'nothing', result: 'zero', errors: [], prompt: true },
  cancel: { syscall: 'cancel', result: 'zero', errors: [], prompt: true },
  clock: { syscall: 'clock_gettime', result: 'zero', errors: [], prompt: true },
  listen: {
    syscall: 'listen',
    result: 'handle',
    errors: [...SOCKET, ...CREATES, ...BINDS],
    prompt: true,
  },
  accept: {
    syscall: 'accept',
    result: 'handle',
    errors: [...SOCKET, ...CREATES, ...STOPPED, 'ECONNABORTED'],
    prompt: false,
  },
  connect: {
    syscall: 'connect',
    result: 'handle',
    errors: [
      ...SOCKET,
      ...CREATES,
      ...PEER,
      ...STOPPED,
      'EADDRNOTAVAIL',
      'ENOENT',
      'EPROTOTYPE',
      'EAGAIN',
      'ENOTDIR',
      'ENAMETOOLONG',
    ],
    prompt: false,
  },
  receive: {
    syscall: 'recv',
    result: 'length',
    errors: [...SOCKET, ...PEER, ...STOPPED],
    prompt: false,
    carries: 'in',
  },
  send: {
    syscall: 'send',
    result: 'length',
    errors: [...SOCKET, ...PEER, ...STOPPED, 'EMSGSIZE'],
    prompt: false,
    carries: 'out',
  },
  shutdown: { syscall: 'shutdown', result: 'zero', errors: [...SOCKET, 'ENOTCONN'], prompt: true },
  close: {
    syscall: 'close',
    result: 'zero',
    errors: ['EBADF', 'EIO', 'EINTR', 'ENOSPC', 'EDQUOT'],
    prompt: true,
  },
  setOption: {
    syscall: 'setsockopt',
    result: 'zero',
    errors: [...SOCKET, 'ENOPROTOOPT', 'EOPNOTSUPP', 'EPERM', 'EDOM'],
    prompt: true,
  },
  address: { syscall: 'getsockname', result: 'length', errors: [...SOCKET, 'ENOTCONN'], prompt: true },
  createPoller: {
    syscall: 'epoll_create',
    result: 'handle',
    errors: ['EMFILE', 'ENFILE', 'ENOMEM'],
    prompt: true,
  },
  watch: {
    syscall: 'epoll_ctl',
    result: 'zero',
    errors: ['EBADF', 'EINVAL', 'ENOMEM', 'ENOSPC', 'EPERM'],
    prompt: true,
  },
  echo: { syscall: 'echo', result: 'zero', errors: ['ENOSYS', 'EINVAL'], prompt: true },
  openFile: {
    syscall: 'open',
    result: 'handle',
    errors: [...PATH, ...ENTRY, 'EFBIG', 'ENODEV', 'ETXTBSY'],
    prompt: false,
  },
  readFile: { syscall: 'read', result: 'length', errors: FILE, prompt: false, carries: 'in' },
  writeFile: {
    syscall: 'write',
    result: 'length',
    errors: [...FILE, ...DISK],
    prompt: false,
    carries: 'out',
  },
  syncFile: { syscall: 'fsync', result: 'zero', errors: [...FILE, ...DISK], prompt: false },
  truncateFile: { syscall: 'ftruncate', result: 'zero', errors: [...FILE, ...DISK], prompt: false },
  statFile: {
    syscall: 'fstat',
    result: 'length',
    errors: ['EBADF', 'EINVAL', 'EIO', 'ENOMEM'],
    prompt: true,
  },
  statPath: { syscall: 'stat', result: 'length', errors: PATH, prompt: false },
  readDirectory: {
    syscall: 'getdents64',
    result: 'length',
    errors: [...FILE, 'ENOENT', 'ENOTDIR'],
    prompt: false,
  },
  makeDirectory: { syscall: 'mkdir', result: 'zero', errors: [...PATH, ...ENTRY], prompt: false },
  removeDirectory: { syscall: 'rmdir', result: 'zero', errors: [...PATH, ...ENTRY], prompt: false },
  unlink: { syscall: 'unlink', result: 'zero', errors: [...PATH, ...ENTRY], prompt: false },
  rename: { syscall: 'rename', result: 'zero', errors: [...PATH, ...ENTRY], prompt: false },
  link: { syscall: 'link', result: 'zero', errors: [...PATH, ...ENTRY], prompt: false },
  symbolicLink: { syscall: 'symlink', result: 'zero', errors: [...PATH, ...ENTRY], prompt: false },
  readLink: { syscall: 'readlink', result: 'length', errors: PATH, prompt: false },
  changeMode: { syscall: 'chmod', result: 'zero', errors: [...PATH, ...ENTRY], prompt: false },
  changeFileMode: { syscall: 'fchmod', result: 'zero', errors: [...FILE, 'EROFS'], prompt: false },
  setTimes: { syscall: 'utimensat', result: 'zero', errors: [...PATH, ...ENTRY], prompt: false },
  setFileTimes: { syscall: 'futimens', result: 'zero', errors: [...FILE, 'EROFS', 'EACCES'], prompt: false },
  lockFile: { syscall: 'flock', result: 'zero', errors: [...FILE, 'ENOLCK', 'ENOMEM'], prompt: true },
  openDatagram: {
    syscall: 'bind',
    result: 'handle',
    errors: [...SOCKET, ...CREATES, ...BINDS],
    prompt: true,
  },
  connectDatagram: {
    syscall: 'connect',
    result: 'zero',
    errors: [...SOCKET, ...CREATES, ...PEER, ...BINDS, 'EPROTOTYPE', 'EAGAIN'],
    prompt: true,
  },
  receiveFrom: {
    syscall: 'recvfrom',
    result: 'length',
    errors: [...SOCKET, ...PEER, ...STOPPED],
    prompt: false,
    carries: 'in',
  },
  sendTo: {
    syscall: 'sendto',
    result: 'length',
    errors: [
      ...SOCKET,
      ...PEER,
      ...STOPPED,
      ...BINDS,
      ...['EMSGSIZE', 'EACCES', 'EPERM', 'EDESTADDRREQ', 'EAFNOSUPPORT', 'EISCONN', 'EPROTOTYPE', 'EAGAIN'],
    ],
    prompt: false,
    carries: 'out',
  },
  lookup: {
    syscall: 'getaddrinfo',
    result: 'length',
    errors: [...STOPPED, 'ENOENT', 'EAGAIN', 'EIO', 'ENOMEM', 'EACCES', 'EINVAL', 'EMFILE', 'ENFILE'],
    prompt: false,
  },
  openStream: {
    syscall: 'open',
    result: 'handle',
    errors: ['EACCES', 'EBADF', 'EINVAL', 'EMFILE'],
    prompt: true,
  },
  readStream: {
    syscall: 'read',
    result: 'length',
    errors: [...FILE, 'ECONNRESET'],
    prompt: false,
    carries: 'in',
  },
  writeStream: {
    syscall: 'write',
    result: 'length',
    errors: [...FILE, ...DISK, 'ECONNRESET'],
    prompt: false,
    carries: 'out',
  },
  poll: { syscall: 'epoll_wait', result: 'limit', errors: ['EBADF', 'EINVAL', ...STOPPED], prompt: false },
};

/** The largest error number of Linux on any architecture that is served here. */
const ERRNO_MAX = 133;

/** The rules as flat tables over the number of the kind, for the path of every call. */
export const RESULT_ZERO = 0;
export const RESULT_HANDLE = 1;
export const RESULT_LENGTH = 2;
export const RESULT_LIMIT = 3;

const resultCodes: Readonly<Record<ResultRule, number>> = {
  zero: RESULT_ZERO,
  handle: RESULT_HANDLE,
  length: RESULT_LENGTH,
  limit: RESULT_LIMIT,
};

export const resultRuleOf: Uint8Array = new Uint8Array(CALL_KINDS);
const names: string[] = [];
const allowedErrors = new Uint8Array(CALL_KINDS * (ERRNO_MAX + 1));

for (const [name, kind] of Object.entries(CallKind)) {
  const rule = callRules[name as CallKindName];
  names[kind] = name;
  resultRuleOf[kind] = resultCodes[rule.result];
  for (const error of rule.errors) {
    const number = constants.errno[error as keyof typeof constants.errno];
    if (number === undefined) throw new RangeError(`${error} is no error of this system`);
    allowedErrors[kind * (ERRNO_MAX + 1) + number] = 1;
  }
}

/** The largest result of a call of this kind, for a payload of `length` bytes and a caller's limit. */
export function resultLimit(kind: number, length: number, limit: number): number {
  switch (resultRuleOf[kind]) {
    case RESULT_HANDLE:
      return HANDLES_MAX - 1;
    case RESULT_LENGTH:
      return length;
    case RESULT_LIMIT:
      return limit;
    default:
      return 0;
  }
}

/** Whether `errno` (positive) is a number that Linux has at all. */
export function isErrno(errno: number): boolean {
  return errno >= 1 && errno <= ERRNO_MAX;
}

/** Whether an honest system can answer this kind with this error. */
export function mayFailWith(kind: number, errno: number): boolean {
  return allowedErrors[kind * (ERRNO_MAX + 1) + errno] === 1;
}

export function ruleOf(kind: number): CallRule {
  return callRules[names[kind] as CallKindName];
}
