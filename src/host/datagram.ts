import { constants } from 'node:os';
import {
  DATAGRAM_ADDRESS_BYTES_MAX,
  DATAGRAM_ADDRESS_OFFSET,
  DATAGRAM_HEADER_BYTES,
  DatagramFamily,
} from '../boundary/datagram.ts';
import { matchesConnect, matchesListen } from '../boundary/grants.ts';
import type { Request } from '../boundary/ring.ts';
import { copyMemory } from '../linux/memory.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  connectSocket,
  createSocket,
  receiveFrom as receiveDatagram,
  SOCK_DGRAM,
  SocketAddressBuffer,
  transmit,
  transmitTo,
} from '../linux/sockets.ts';
import { Structure } from '../linux/structure.ts';
import type { Executor } from './executor.ts';
import { ResourceType } from './journal.ts';
import { address, addressIn, createBound, granted, pathOf } from './net.ts';
import { Attempt, Socket } from './socket.ts';

const { EACCES, EBADF, EINVAL } = constants.errno;

const families: ReadonlyMap<number, number> = new Map([
  [DatagramFamily.IPv4, AF_INET],
  [DatagramFamily.IPv6, AF_INET6],
  [DatagramFamily.unix, AF_UNIX],
]);

const header = new Structure(DATAGRAM_HEADER_BYTES);
const peer = new SocketAddressBuffer();

/** A socket that sends and receives datagrams, to and from anyone. */
export class DatagramSocket extends Socket {
  override readonly type: number = ResourceType.datagram;
  /** The address that was found granted last: most datagrams go where the one before went. */
  readonly #granted = new Structure(DATAGRAM_HEADER_BYTES);
  #grantedLength = 0;

  protected override perform(executor: Executor, attempt: number, at: number, length: number): number {
    if (attempt === Attempt.receiveFrom) return this.#receive(at, length - DATAGRAM_HEADER_BYTES);
    if (attempt === Attempt.transmitTo) return this.#transmit(executor, at, length);
    return -EINVAL;
  }

  #receive(at: number, room: number): number {
    const length = receiveDatagram(this.descriptor, at + DATAGRAM_HEADER_BYTES, room, peer);
    if (length < 0) return length;
    header.bytes.fill(0);
    const known = peer.length <= DATAGRAM_ADDRESS_BYTES_MAX;
    header.view.setInt32(0, known ? peer.length : 0, true);
    header.view.setInt32(4, length, true);
    if (known) header.bytes.set(peer.bytes.subarray(0, peer.length), DATAGRAM_ADDRESS_OFFSET);
    copyMemory(at, header.address, DATAGRAM_HEADER_BYTES);
    return DATAGRAM_HEADER_BYTES + Math.min(length, room);
  }

  /** The enclave may change a payload while it waits, so its header is read and checked at every attempt. */
  #transmit(executor: Executor, at: number, length: number): number {
    copyMemory(header.address, at, DATAGRAM_HEADER_BYTES);
    const addressLength = header.view.getInt32(0, true);
    const start = at + DATAGRAM_HEADER_BYTES;
    const bytes = length - DATAGRAM_HEADER_BYTES;
    let result: number;
    if (addressLength === 0) result = transmit(this.descriptor, start, bytes);
    else if (addressLength < 0 || addressLength > DATAGRAM_ADDRESS_BYTES_MAX) return -EINVAL;
    else {
      address.bytes.set(
        header.bytes.subarray(DATAGRAM_ADDRESS_OFFSET, DATAGRAM_ADDRESS_OFFSET + addressLength),
      );
      address.length = addressLength;
      const refused = this.#refuse(executor, addressLength);
      if (refused !== 0) return refused;
      result = transmitTo(this.descriptor, start, bytes, address);
    }
    return result < 0 ? result : DATAGRAM_HEADER_BYTES + result;
  }

  /** Zero when the address in `address` is granted, otherwise the error. */
  #refuse(executor: Executor, length: number): number {
    if (length === this.#grantedLength && sameBytes(this.#granted.bytes, address.bytes, length)) return 0;
    const where = address.decode();
    if (where === undefined) return -EINVAL;
    if (!matchesConnect(executor.grants, granted(where, 'udp'))) return -EACCES;
    this.#granted.bytes.set(address.bytes.subarray(0, length));
    this.#grantedLength = length;
    return 0;
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array, length: number): boolean {
  for (let index = 0; index < length; index++) if (left[index] !== right[index]) return false;
  return true;
}

/** Payload: where to bind, a1: see {@link BindFlag}; or nothing, and a0: see {@link DatagramFamily}. */
export function openDatagram(executor: Executor, request: Request): void {
  executor.complete(request.id, request.length === 0 ? open(executor, request.a0) : bind(executor, request));
}

function open(executor: Executor, code: number): number {
  const family = families.get(code);
  if (family === undefined) return -EINVAL;
  const descriptor = createSocket(family, SOCK_DGRAM);
  return descriptor < 0 ? descriptor : executor.open(new DatagramSocket(descriptor));
}

function bind(executor: Executor, request: Request): number {
  const where = addressIn(executor, request);
  if (where === undefined) return -EINVAL;
  if (!matchesListen(executor.grants, granted(where, 'udp'))) return -EACCES;
  const descriptor = createBound(where, SOCK_DGRAM, request.a1);
  return descriptor < 0 ? descriptor : executor.open(new DatagramSocket(descriptor, pathOf(where)));
}

/** Payload: from whom alone to receive, and whom to send to when no address is given. */
export function connectDatagram(executor: Executor, request: Request): void {
  const socket = executor.resource(request.handle);
  if (!(socket instanceof DatagramSocket)) return executor.complete(request.id, -EBADF);
  const where = addressIn(executor, request);
  if (where === undefined) return executor.complete(request.id, -EINVAL);
  const allowed = matchesConnect(executor.grants, granted(where, 'udp'));
  executor.complete(request.id, allowed ? connectSocket(socket.descriptor, address) : -EACCES);
}

/** The payload receives a header and as much of a datagram as there is room for. */
export function receiveFrom(executor: Executor, request: Request): void {
  attempt(executor, request, Attempt.receiveFrom);
}

/** Payload: a header and the datagram. */
export function sendTo(executor: Executor, request: Request): void {
  attempt(executor, request, Attempt.transmitTo);
}

function attempt(executor: Executor, request: Request, what: number): void {
  const socket = executor.resource(request.handle);
  const { id, length, timeout } = request;
  if (!(socket instanceof DatagramSocket)) executor.complete(id, -EBADF);
  else if (length < DATAGRAM_HEADER_BYTES) executor.complete(id, -EINVAL);
  else socket.serve(executor, id, what, executor.address(request.payload), length, timeout);
}
