import { constants } from 'node:os';
import { CallKind } from '../../src/boundary/kinds.ts';
import { Readiness } from '../../src/boundary/net.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { encodeSocketAddress } from '../../src/linux/socket-address.ts';
import type { HostSide, Script } from '../support/host-side.ts';
import type { ToldKind } from './told-kinds.ts';

const names = new Map<number, ToldKind>(
  Object.entries(CallKind).map(([name, kind]) => [kind, name as ToldKind]),
);

/** The name of a kind by its number. */
export function nameOf(kind: number): ToldKind {
  return names.get(kind) as ToldKind;
}

/** What an honest host answers, made up: enough for a program to go on. */
export class HonestAnswers {
  readonly #silent: readonly ToldKind[];
  readonly #unanswered = new Set<number>();
  #handles = 0;

  readonly #answers: Readonly<Record<ToldKind, (request: Request, host: HostSide) => void>> = {
    nothing: succeed,
    cancel: (request, host) => {
      if (this.#unanswered.delete(request.a0)) host.answer(request.a0, -constants.errno.ECANCELED);
      host.answer(request.id, 0);
    },
    clock: (request, host) => host.answer(request.id, 0, 1_700_000_000, 5),
    listen: (request, host) => this.#open(request, host),
    accept: (request, host) => this.#open(request, host),
    connect: (request, host) => this.#open(request, host),
    receive: (request, host) => {
      host.payload(request).fill(0x5a);
      host.answer(request.id, request.length);
    },
    send: (request, host) => host.answer(request.id, request.length),
    shutdown: succeed,
    close: succeed,
    setOption: succeed,
    address: (request, host) => {
      const address = new Uint8Array(128);
      const length = encodeSocketAddress({ family: 'IPv4', address: '192.0.2.1', port: 7 }, address);
      host.payload(request).set(address.subarray(0, length));
      host.answer(request.id, length);
    },
    createPoller: (request, host) => this.#open(request, host),
    watch: succeed,
    poll: (request, host) => {
      const start = (host.layout.arena + request.payload) >> 2;
      host.words[start] = this.#handles - 1;
      host.words[start + 1] = Readiness.readable;
      host.answer(request.id, 1);
    },
    echo: (request, host) => host.answer(request.id, -constants.errno.ENOSYS),
  };

  /** Calls of the silent kinds wait until they are cancelled. */
  constructor(silent: readonly ToldKind[] = []) {
    this.#silent = silent;
  }

  readonly answer: Script = (request, host) => {
    const name = nameOf(request.kind);
    if (this.#silent.includes(name)) this.#unanswered.add(request.id);
    else this.#answers[name](request, host);
  };

  #open(request: Request, host: HostSide): void {
    host.answer(request.id, this.#handles++);
  }
}

function succeed(request: Request, host: HostSide): void {
  host.answer(request.id, 0);
}
