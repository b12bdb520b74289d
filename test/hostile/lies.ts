import { constants } from 'node:os';
import { CallKind, callRules, mayFailWith } from '../../src/boundary/kinds.ts';
import { READY_MAX } from '../../src/boundary/net.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { HANDLES_MAX } from '../../src/limits.ts';
import type { HostSide } from '../support/host-side.ts';
import type { ToldKind } from './told-kinds.ts';

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
const { ENXIO } = constants.errno;

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

const firstHandleAgain = answer('the handle of the one before', 0, VIOLATION, 2);

/** Lies that only one kind of call can be told. A kind without a row does not compile. */
export const ownLies: Readonly<Record<ToldKind, readonly [Lie, ...Lie[]]>> = {
  nothing: [answer('success that counts something', 1)],
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
  shutdown: [answer('success that counts something', 1)],
  close: [answer('success that counts something', 1)],
  setOption: [answer('success that counts something', 1)],
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
  watch: [answer('success that counts something', 1)],
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
  echo: [answer('success that counts something', 1)],
};

/** The largest result of the call that {@link exercises} makes of each kind. */
function largestResult(kind: ToldKind, request: Request): number {
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
export function commonLies(kind: ToldKind): Lie[] {
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

function neverFailsWith(kind: ToldKind): number {
  if (mayFailWith(CallKind[kind], ENXIO)) throw new Error(`${kind} may fail with ENXIO: choose another`);
  return ENXIO;
}
