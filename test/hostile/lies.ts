import { constants } from 'node:os';
import type { CallKindName } from '../../src/boundary/kinds.ts';
import { CallKind, callRules, mayFailWith } from '../../src/boundary/kinds.ts';
import { READY_MAX } from '../../src/boundary/net.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { HANDLES_MAX } from '../../src/limits.ts';
import { FILE_STATUS_BYTES } from '../../src/linux/file-status.ts';
import type { HostSide } from '../support/host-side.ts';
import { addressRecord, datagram } from './datagram-payloads.ts';
import { directoryEntry, fileStatus, type StatusFields } from './file-payloads.ts';

/** What the program must meet: the code of an error, or that it never noticed because nothing was believed. */
export type Outcome = 'SGXIO_HOST_VIOLATION' | 'SGXIO_TIMED_OUT' | 'EIO' | 'EINVAL' | 'unharmed';

/** One lie about the answer of one call. */
export interface Lie {
  readonly name: string;
  readonly tell: (request: Request, host: HostSide) => void;
  readonly outcome: Outcome;
  /** Which call of the kind it is told of; the first unless said. */
  readonly at?: number;
  /** Told again of every later call of the kind. */
  readonly always?: boolean;
}

const VIOLATION = 'SGXIO_HOST_VIOLATION';
const { ENOTTY } = constants.errno;

function answer(name: string, result: number, outcome: Outcome = VIOLATION, at = 1): Lie {
  return { name, tell: (request, host) => host.answer(request.id, result), outcome, at };
}

function answerWords(name: string, extra0: number, extra1: number): Lie {
  return { name, tell: (request, host) => host.answer(request.id, 0, extra0, extra1), outcome: VIOLATION };
}

/** An address of `length` bytes that begins with these. */
function answerAddress(
  name: string,
  bytes: readonly number[],
  length: number,
  outcome: Outcome = VIOLATION,
): Lie {
  return {
    name,
    tell: (request, host) => {
      host.payload(request).fill(0).set(bytes);
      host.answer(request.id, length);
    },
    outcome,
  };
}

/** A report of sockets that are ready: handle and readiness each. */
function answerReady(name: string, entries: readonly number[], count: number, outcome: Outcome): Lie {
  return {
    name,
    tell: (request, host) => {
      const start = (host.layout.arena + request.payload) >> 2;
      host.words.set(entries, start);
      host.answer(request.id, count);
    },
    outcome,
  };
}

/** The status of a file, cut to `length` bytes. */
function answerStatus(name: string, fields: StatusFields, length: number = FILE_STATUS_BYTES): Lie {
  return {
    name,
    tell: (request, host) => {
      host.payload(request).set(fileStatus(fields));
      host.answer(request.id, length);
    },
    outcome: VIOLATION,
  };
}

/** A listing of these bytes. */
function answerListing(name: string, bytes: Uint8Array, length = bytes.length): Lie {
  return {
    name,
    tell: (request, host) => {
      host.payload(request).set(bytes);
      host.answer(request.id, length);
    },
    outcome: VIOLATION,
  };
}

const statusLies: readonly [Lie, ...Lie[]] = [
  answerStatus('half a status', {}, FILE_STATUS_BYTES / 2),
  answerStatus('no status', {}, 0),
  answerStatus('a mode of no type', { mode: 0o644 }),
  answerStatus('a size beyond 2^53', { size: 2n ** 60n }),
  answerStatus('a negative size', { size: -1n }),
  answerStatus('a second of more than a billion nanoseconds', { nanoseconds: 1_000_000_000 }),
  answerStatus('a time beyond 2^53', { seconds: 2n ** 62n }),
];

const countsSomething = answer('success that counts something', 1);
const firstHandleAgain = answer('the handle of the one before', 0, VIOLATION, 2);

/** Lies that only one kind of call can be told. A kind without a row does not compile. */
export const ownLies: Readonly<Record<CallKindName, readonly [Lie, ...Lie[]]>> = {
  nothing: [countsSomething],
  cancel: [
    {
      name: 'the cancelled call succeeds, then the cancel is answered',
      tell: (request, host) => {
        host.answer(request.a0, 64);
        host.answer(request.id, 0);
      },
      outcome: 'unharmed',
    },
    {
      name: 'the cancelled call is answered twice',
      tell: (request, host) => {
        host.answer(request.a0, -constants.errno.ECANCELED);
        host.answer(request.a0, -constants.errno.ECANCELED);
      },
      outcome: VIOLATION,
    },
  ],
  clock: [
    answerWords('a second of a billion nanoseconds', 1_700_000_000, 1_000_000_000),
    answerWords('negative nanoseconds', 1_700_000_000, -1),
  ],
  listen: [firstHandleAgain],
  accept: [answer('the handle of the listener', 0)],
  connect: [firstHandleAgain],
  receive: [
    answer('one byte more than there was room for', 65),
    {
      name: 'bytes written around the room of the payload',
      tell: (request, host) => {
        const start = host.layout.arena + request.payload;
        host.bytes.fill(0xee, start - 64, start + 256 + 64);
        host.answer(request.id, 64);
      },
      outcome: 'unharmed',
    },
  ],
  send: [
    answer('more than was given', 65),
    { ...answer('nothing taken, for ever', 0, 'SGXIO_TIMED_OUT'), always: true },
  ],
  shutdown: [countsSomething],
  close: [countsSomething],
  setOption: [countsSomething],
  address: [
    answerAddress('a family that is none', [0xff, 0x7f], 16),
    answerAddress('a family cut in half', [2], 1),
    answerAddress('no bytes at all, as of a socket without a name', [], 0, 'unharmed'),
    answerAddress('an IPv4 address cut short', [2, 0, 0, 80, 127], 5),
    answerAddress('an IPv6 address cut to the length of IPv4', [10, 0, 0, 80], 16),
    answerAddress('a path with a zero byte in its middle', [1, 0, 0x61, 0, 0x62], 5, 'EINVAL'),
    answerAddress('a path that is no UTF-8', [1, 0, 0xff, 0xfe], 4, 'EINVAL'),
  ],
  createPoller: [firstHandleAgain],
  watch: [countsSomething],
  poll: [
    answerReady('a handle that nobody has', [77, 1], 1, VIOLATION),
    answerReady('a negative handle', [-1, 1], 1, VIOLATION),
    answerReady('the poller itself', [0, 1], 1, VIOLATION),
    answerReady('one handle twice', [1, 1, 1, 1], 2, VIOLATION),
    answerReady('no readiness', [1, 0], 1, VIOLATION),
    answerReady('bits that mean nothing', [1, 8], 1, VIOLATION),
    answerReady('every bit', [1, -1], 1, VIOLATION),
    answerReady('only what was not asked for', [1, 2], 1, 'unharmed'),
  ],
  echo: [countsSomething],
  openFile: [firstHandleAgain],
  readFile: [answer('more than the file was asked for', 65)],
  writeFile: [answer('more than was given', 65)],
  syncFile: [countsSomething],
  truncateFile: [countsSomething],
  statFile: statusLies,
  statPath: statusLies,
  readDirectory: [
    answerListing('a name with a slash', directoryEntry('../../etc')),
    answerListing('an empty name', directoryEntry('')),
    answerListing('a name without an end', directoryEntry('name').fill(0x61, 19)),
    answerListing('an entry cut short', directoryEntry('name'), 20),
    answerListing('an entry longer than the listing', directoryEntry('name', 4096)),
    answerListing('an entry of no length', directoryEntry('name', 0)),
    answerListing('an entry that is not aligned', directoryEntry('name', 25)),
  ],
  makeDirectory: [countsSomething],
  removeDirectory: [countsSomething],
  unlink: [countsSomething],
  rename: [countsSomething],
  link: [countsSomething],
  symbolicLink: [countsSomething],
  readLink: [answer('a text longer than any path', 5000)],
  changeMode: [countsSomething],
  changeFileMode: [countsSomething],
  setTimes: [countsSomething],
  setFileTimes: [countsSomething],
  lockFile: [countsSomething],
  openDatagram: [firstHandleAgain],
  connectDatagram: [countsSomething],
  receiveFrom: [
    answerListing('less than a header', datagram(0, 0), 100),
    answerListing('a datagram shorter than it is said to be', datagram(10, 64)),
    answerListing('a datagram longer than it is said to be', datagram(64, 10)),
    answerListing('a datagram of negative length', datagram(0, -1)),
    answerListing('a negative length of an address', datagram(64, 64, -1)),
    answerListing('an address longer than its room', datagram(64, 64, 1000)),
    answerListing('an address cut short', datagram(64, 64, 3)),
    { ...answerListing('a long datagram, cut', datagram(64, 60_000)), outcome: 'unharmed' },
  ],
  sendTo: [answer('half of a datagram', 100), answer('nothing', 0)],
  lookup: [
    answer('no addresses', 0),
    answerListing('half an address', addressRecord('192.0.2.1'), 16),
    answerListing('an address of another family', addressRecord('2001:db8::1')),
    answerListing('a negative length of an address', addressRecord('192.0.2.1', -1)),
    answerListing('an address longer than its record', addressRecord('192.0.2.1', 1000)),
    answerListing('an address without a family', addressRecord('192.0.2.1').fill(0, 4, 6)),
    answerListing('an address that is a path', addressRecord('192.0.2.1').fill(0, 5, 6).fill(1, 4, 5)),
  ],
  openStream: [firstHandleAgain],
  readStream: [answer('more than there was room for', 65)],
  writeStream: [
    answer('more than was given', 65),
    { ...answer('nothing taken, for ever', 0, 'SGXIO_TIMED_OUT'), always: true },
  ],
};

/** The largest result of the call that {@link exercises} makes of each kind. */
function largestResult(kind: CallKindName, request: Request): number {
  switch (callRules[kind].result) {
    case 'zero':
      return 0;
    case 'handle':
      return HANDLES_MAX - 1;
    case 'length':
      return request.length;
    case 'limit':
      return READY_MAX;
  }
}

/** Lies that every kind of call can be told. */
export function commonLies(kind: CallKindName): Lie[] {
  // The program has given a call up whose cancel fails: nobody is there to be told.
  const ioError = kind === 'cancel' ? 'unharmed' : 'EIO';
  return [
    {
      name: 'one more than can be',
      tell: (request, host) => host.answer(request.id, largestResult(kind, request) + 1),
      outcome: VIOLATION,
    },
    answer('the largest number', 0x7fff_ffff),
    answer('an error that Linux does not have', -134),
    answer('an error far beyond', -4096),
    answer('the smallest number', -0x8000_0000),
    answer('an error that this call never has', -neverFailsWith(kind), ioError),
    {
      name: 'an answer to no call',
      tell: (_request, host) => host.answer(0, 0),
      outcome: VIOLATION,
    },
    {
      name: 'an answer to a call that was never made',
      tell: (request, host) => host.answer(request.id ^ 0x3000, 0),
      outcome: VIOLATION,
    },
    {
      name: 'an answer of another generation',
      tell: (request, host) => host.answer((request.id + (1 << 14)) | 0, 0),
      outcome: VIOLATION,
    },
    {
      name: 'two answers',
      tell: (request, host) => {
        host.answer(request.id, -neverFailsWith(kind));
        host.answer(request.id, -neverFailsWith(kind));
      },
      outcome: VIOLATION,
    },
  ];
}

function neverFailsWith(kind: CallKindName): number {
  if (mayFailWith(CallKind[kind], ENOTTY)) throw new Error(`${kind} may fail with ENOTTY: choose another`);
  return ENOTTY;
}
