import assert from 'node:assert/strict';
import type { Received } from '../../src/enclave.ts';
import type { Outcome, Step } from '../support/calls.program.ts';
import { type Expected, expected } from './connection-model.ts';

/** What datagram sockets do, said without a kernel: queues of messages. */
export type DatagramOperation =
  | { readonly kind: 'bind' | 'connect' | 'close'; readonly socket: number; readonly to: number }
  | {
      readonly kind: 'sendTo' | 'send';
      readonly socket: number;
      readonly to: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'receive'; readonly socket: number; readonly room: number };

interface Message {
  readonly from: object;
  readonly bytes: Uint8Array;
}

interface ModelSocket {
  readonly name: string;
  /** Undefined while it is closed. */
  address: Record<string, unknown> | undefined;
  opened: boolean;
  /** The socket it was connected to, and the address that this one had then. */
  peer: { readonly socket: ModelSocket; readonly address: object } | undefined;
  /** Whether its peer may have refused what it sent, which it hears at a later call. */
  refused: boolean;
  /** Sent to it and not yet received. */
  readonly queue: Message[];
}

const LONG = 60_000;
/** Fewer than the kernel keeps for a Unix socket. */
const QUEUE_MAX = 8;

export class DatagramModel {
  readonly #transport: 'udp' | 'unix';
  readonly #where: (socket: number) => object;
  readonly #sockets: readonly ModelSocket[];

  constructor(transport: 'udp' | 'unix', where: (socket: number) => object) {
    this.#transport = transport;
    this.#where = where;
    this.#sockets = [0, 1, 2, 3].map((index) => ({
      name: `socket ${index}`,
      address: undefined,
      opened: false,
      peer: undefined,
      refused: false,
      queue: [],
    }));
  }

  expect(operation: DatagramOperation): readonly Expected[] {
    const socket = this.#sockets[operation.socket] as ModelSocket;
    switch (operation.kind) {
      case 'bind':
        return socket.address === undefined ? this.#bind(socket, operation.socket) : [];
      case 'close':
        return this.#close(socket);
      case 'receive':
        return this.#receive(socket, operation.room);
      case 'connect':
        return this.#connect(socket, this.#sockets[operation.to] as ModelSocket);
      case 'sendTo':
        return this.#sendTo(socket, this.#sockets[operation.to] as ModelSocket, operation.bytes);
      default:
        return this.#send(socket, operation.bytes);
    }
  }

  finish(): readonly Expected[] {
    return this.#sockets.flatMap((socket) => this.#close(socket));
  }

  #bind(socket: ModelSocket, index: number): readonly Expected[] {
    const where = this.#where(index);
    return [
      expected({ call: 'bindDatagram', values: [where], as: socket.name }, ['ok'], () => {
        socket.opened = true;
        socket.peer = undefined;
        socket.refused = false;
        socket.queue.length = 0;
      }),
      expected({ on: socket.name, call: 'localAddress' }, ['ok'], ({ value }) => {
        socket.address = value as Record<string, unknown>;
      }),
    ];
  }

  #close(socket: ModelSocket): readonly Expected[] {
    if (!socket.opened) return [];
    return [
      expected({ on: socket.name, call: 'close' }, ['ok'], () => {
        socket.address = undefined;
      }),
    ];
  }

  #connect(socket: ModelSocket, to: ModelSocket): readonly Expected[] {
    const { address } = to;
    // A Unix socket that is connected is refused datagrams of all others: one model of it is enough.
    if (!socket.opened || address === undefined || this.#transport === 'unix') return [];
    const step: Step = { on: socket.name, call: 'connect', values: [endpointOf(address)] };
    if (socket.address === undefined) return [expected(step, ['SGXIO_CLOSED'])];
    return [
      // What is queued stays, whoever it is from.
      expected(step, ['ok', 'ECONNREFUSED'], ({ error }) => {
        if (error === undefined) socket.peer = { socket: to, address };
      }),
    ];
  }

  #sendTo(socket: ModelSocket, to: ModelSocket, bytes: Uint8Array): readonly Expected[] {
    if (!socket.opened || to.address === undefined || to.queue.length >= QUEUE_MAX) return [];
    const step: Step = { on: socket.name, call: 'sendTo', values: [bytes, endpointOf(to.address)] };
    if (socket.address === undefined) return [expected(step, ['SGXIO_CLOSED'])];
    return [expected(step, this.#codes(socket), (outcome) => this.#deliver(socket, to, bytes, outcome))];
  }

  #send(socket: ModelSocket, bytes: Uint8Array): readonly Expected[] {
    if (!socket.opened || (socket.peer?.socket.queue.length ?? 0) >= QUEUE_MAX) return [];
    const step: Step = { on: socket.name, call: 'send', values: [bytes] };
    if (socket.address === undefined) return [expected(step, ['SGXIO_CLOSED'])];
    const { peer } = socket;
    if (peer === undefined) return [expected(step, ['EDESTADDRREQ', 'ENOTCONN'])];
    return [
      expected(step, this.#codes(socket), (outcome) => {
        const there = peer.socket.address === peer.address;
        this.#deliver(socket, there ? peer.socket : { ...peer.socket, address: undefined }, bytes, outcome);
      }),
    ];
  }

  #codes({ refused }: ModelSocket): string[] {
    return refused ? ['ok', 'ECONNREFUSED'] : ['ok'];
  }

  /** A connected socket takes what its peer sends, and nothing else. */
  #deliver(socket: ModelSocket, to: ModelSocket, bytes: Uint8Array, { error }: Outcome): void {
    if (error !== undefined) return;
    const takes = to.address !== undefined && (to.peer === undefined || to.peer.address === socket.address);
    if (takes) to.queue.push({ from: socket.address as object, bytes });
    else if (socket.peer !== undefined) socket.refused = true;
  }

  #receive(socket: ModelSocket, room: number): readonly Expected[] {
    if (!socket.opened) return [];
    const { queue, name } = socket;
    const timeout = queue.length === 0 ? 0 : LONG;
    const step: Step = { on: name, call: 'receiveFrom', values: [room, { timeout }] };
    if (socket.address === undefined) return [expected(step, ['SGXIO_CLOSED'])];
    const codes = this.#codes(socket).filter((code) => code !== 'ok');
    if (queue.length === 0) return [expected(step, ['ETIMEDOUT', ...codes])];
    return [expected(step, ['ok', ...codes], (outcome) => take(queue, room, outcome))];
  }
}

/** What came is the oldest of its sender. */
function take(queue: Message[], room: number, { value, error }: Outcome): void {
  if (error !== undefined) return;
  const { from, bytes, ...rest } = value as Received & { bytes: Uint8Array };
  const index = queue.findIndex((message) => JSON.stringify(message.from) === JSON.stringify(from));
  assert.notEqual(index, -1, `a message of ${JSON.stringify(from)}, which sent none`);
  const [message] = queue.splice(index, 1) as [Message];
  const length = Math.min(room, message.bytes.length);
  assert.deepEqual(bytes, message.bytes.slice(0, length));
  const fullLength = message.bytes.length;
  assert.deepEqual(rest, { length, fullLength, truncated: fullLength > length });
}

function endpointOf(address: Record<string, unknown>): object {
  return 'path' in address ? { path: address['path'] } : { host: address['address'], port: address['port'] };
}
