import { constants } from 'node:os';
import { DATAGRAM_HEADER_BYTES } from '../../src/boundary/datagram.ts';
import { CallKind, type CallKindName } from '../../src/boundary/kinds.ts';
import { Readiness } from '../../src/boundary/net.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { FILE_STATUS_BYTES } from '../../src/linux/file-status.ts';
import { ADDRESS_RECORD_BYTES } from '../../src/linux/names.ts';
import { encodeSocketAddress } from '../../src/linux/socket-address.ts';
import type { HostSide, Script } from '../support/host-side.ts';
import { addressRecord, datagram } from './datagram-payloads.ts';
import { directoryEntry, fileStatus } from './file-payloads.ts';

const names = new Map<number, CallKindName>(
  Object.entries(CallKind).map(([name, kind]) => [kind, name as CallKindName]),
);

/** The name of a kind by its number. */
export function nameOf(kind: number): CallKindName {
  return names.get(kind) as CallKindName;
}

/** What an honest host answers, made up: enough for a program to go on. */
export class HonestAnswers {
  readonly #silent: readonly CallKindName[];
  readonly #unanswered = new Set<number>();
  #handles = 0;
  #listed = false;

  readonly #answers: Readonly<Record<CallKindName, (request: Request, host: HostSide) => void>> = {
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
    openFile: (request, host) => this.#open(request, host),
    readFile: (request, host) => {
      host.payload(request).fill(0x5a);
      host.answer(request.id, request.length);
    },
    writeFile: (request, host) => host.answer(request.id, request.length),
    syncFile: succeed,
    truncateFile: succeed,
    statFile: giveStatus,
    statPath: giveStatus,
    readDirectory: (request, host) => {
      const entry = this.#listed ? new Uint8Array(0) : directoryEntry('name');
      this.#listed = true;
      host.payload(request).set(entry);
      host.answer(request.id, entry.length);
    },
    makeDirectory: succeed,
    removeDirectory: succeed,
    unlink: succeed,
    rename: succeed,
    link: succeed,
    symbolicLink: succeed,
    readLink: (request, host) => {
      host.payload(request).fill(0x61, 0, 3);
      host.answer(request.id, 3);
    },
    changeMode: succeed,
    changeFileMode: succeed,
    setTimes: succeed,
    setFileTimes: succeed,
    lockFile: succeed,
    openDatagram: (request, host) => this.#open(request, host),
    connectDatagram: succeed,
    receiveFrom: (request, host) => {
      host.payload(request).set(datagram(64, 64));
      host.answer(request.id, DATAGRAM_HEADER_BYTES + 64);
    },
    sendTo: (request, host) => host.answer(request.id, request.length),
    lookup: (request, host) => {
      host.payload(request).set(addressRecord('192.0.2.1'));
      host.answer(request.id, ADDRESS_RECORD_BYTES);
    },
    openStream: (request, host) => this.#open(request, host),
    readStream: (request, host) => host.answer(request.id, request.length),
    writeStream: (request, host) => host.answer(request.id, request.length),
    echo: (request, host) => host.answer(request.id, -constants.errno.ENOSYS),
  };

  /** Calls of the silent kinds wait until they are cancelled. */
  constructor(silent: readonly CallKindName[] = []) {
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

function giveStatus(request: Request, host: HostSide): void {
  host.payload(request).set(fileStatus());
  host.answer(request.id, FILE_STATUS_BYTES);
}

function succeed(request: Request, host: HostSide): void {
  host.answer(request.id, 0);
}
