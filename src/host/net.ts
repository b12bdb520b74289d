import { constants } from 'node:os';
import { type Address, matchesConnect, matchesListen } from '../boundary/grants.ts';
import { AddressOf, BindFlag, ShutdownOf, SocketOptionCode } from '../boundary/net.ts';
import type { Request } from '../boundary/ring.ts';
import { closeDescriptor } from '../linux/events.ts';
import { copyMemory } from '../linux/memory.ts';
import type { SocketAddress } from '../linux/socket-address.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  bindSocket,
  connectSocket,
  createSocket,
  IPV6_V6ONLY,
  listenSocket,
  localAddress,
  peerAddress,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_BROADCAST,
  SO_KEEPALIVE,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOCK_STREAM,
  SocketAddressBuffer,
  type SocketOption,
  setLinger,
  setSocketOption,
  shutdownSocket,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from '../linux/sockets.ts';
import { textAt } from './blocking.ts';
import type { Executor } from './executor.ts';
import { Attempt, ByteStream, Socket } from './socket.ts';

const { EACCES, EBADF, EINPROGRESS, EINVAL, ENOPROTOOPT } = constants.errno;
const BACKLOG_MAX = 4096;

const families = { IPv4: AF_INET, IPv6: AF_INET6, unix: AF_UNIX } as const;
export const address: SocketAddressBuffer = new SocketAddressBuffer();

const options: ReadonlyMap<number, SocketOption> = new Map([
  [SocketOptionCode.noDelay, TCP_NODELAY],
  [SocketOptionCode.keepAlive, SO_KEEPALIVE],
  [SocketOptionCode.receiveBuffer, SO_RCVBUF],
  [SocketOptionCode.sendBuffer, SO_SNDBUF],
  [SocketOptionCode.keepAliveDelay, TCP_KEEPIDLE],
  [SocketOptionCode.keepAliveInterval, TCP_KEEPINTVL],
  [SocketOptionCode.keepAliveCount, TCP_KEEPCNT],
  [SocketOptionCode.broadcast, SO_BROADCAST],
]);

const directions: ReadonlyMap<number, number> = new Map([
  [ShutdownOf.receiving, SHUT_RD],
  [ShutdownOf.sending, SHUT_WR],
  [ShutdownOf.both, SHUT_RDWR],
]);

/** The address that a call names, copied out of its payload before it is looked at; it is in `address` too. */
export function addressIn(
  executor: Executor,
  request: Request,
  length: number = request.length,
): SocketAddress | undefined {
  if (length < 0 || length > request.length || length > address.bytes.length) return undefined;
  copyMemory(address.address, executor.address(request.payload), length);
  address.length = length;
  return address.decode();
}

/** An address in the words of grants. */
export function granted(where: SocketAddress, transport: 'tcp' | 'udp' = 'tcp'): Address {
  if (where.family === 'unix') return { transport: 'unix', path: where.path };
  return { transport, host: where.address, port: where.port };
}

/** Payload: where. a0: how many connections may wait; a1: see {@link BindFlag}. */
export function listen(executor: Executor, request: Request): void {
  const where = addressIn(executor, request);
  if (where === undefined) executor.complete(request.id, -EINVAL);
  else if (!matchesListen(executor.grants, granted(where))) executor.complete(request.id, -EACCES);
  else executor.complete(request.id, openListener(executor, where, request.a0, request.a1));
}

function openListener(executor: Executor, where: SocketAddress, backlog: number, flags: number): number {
  const descriptor = createBound(where, SOCK_STREAM, flags);
  if (descriptor < 0) return descriptor;
  const result = listenSocket(descriptor, Math.min(Math.max(backlog, 1), BACKLOG_MAX));
  if (result >= 0) return executor.open(new Socket(descriptor, pathOf(where)));
  closeDescriptor(descriptor);
  return result;
}

/** A socket bound to `where`, which is in `address` too. */
export function createBound(where: SocketAddress, type: number, flags: number): number {
  const descriptor = createSocket(families[where.family], type);
  if (descriptor < 0) return descriptor;
  let result = 0;
  if (where.family !== 'unix' && type === SOCK_STREAM) result = setSocketOption(descriptor, SO_REUSEADDR, 1);
  if (result >= 0 && (flags & BindFlag.reusePort) !== 0)
    result = setSocketOption(descriptor, SO_REUSEPORT, 1);
  if (result >= 0 && where.family === 'IPv6') {
    result = setSocketOption(descriptor, IPV6_V6ONLY, (flags & BindFlag.ipv6Only) === 0 ? 0 : 1);
  }
  if (result >= 0) result = bindSocket(descriptor, address);
  if (result >= 0) return descriptor;
  closeDescriptor(descriptor);
  return result;
}

/** The path that binding to an address makes. */
export function pathOf(where: SocketAddress): string | undefined {
  return where.family === 'unix' && where.path.startsWith('/') ? where.path : undefined;
}

/**
 * Payload: where to, of a0 bytes, and behind it the name that was granted instead of the address, if one was. The
 * answer is the handle of a connection that stands.
 */
export function connect(executor: Executor, request: Request): void {
  const where = addressIn(executor, request, request.a0);
  if (where === undefined) return executor.complete(request.id, -EINVAL);
  if (!mayConnect(executor, request, where)) return executor.complete(request.id, -EACCES);
  const descriptor = createSocket(families[where.family], SOCK_STREAM);
  if (descriptor < 0) return executor.complete(request.id, descriptor);
  const result = connectSocket(descriptor, address);
  const socket = new Socket(descriptor);
  if (result === 0) executor.complete(request.id, executor.open(socket));
  else if (result === -EINPROGRESS) socket.awaitConnection(executor, request.id, request.timeout);
  else {
    closeDescriptor(descriptor);
    executor.complete(request.id, result);
  }
}

function mayConnect(executor: Executor, request: Request, where: SocketAddress): boolean {
  const { a0, length, payload } = request;
  if (length === a0) return matchesConnect(executor.grants, granted(where));
  const name = textAt(executor.address(payload) + a0, length - a0);
  if (name === undefined || where.family === 'unix' || !executor.resolved.standsFor(name, where))
    return false;
  return matchesConnect(executor.grants, { transport: 'tcp', host: name, port: where.port });
}

export function accept(executor: Executor, request: Request): void {
  attempt(executor, request, Attempt.accept);
}

/** Without room there is nothing to wait for, though recv(2) would. */
export function receive(executor: Executor, request: Request): void {
  const waits = request.length > 0 || !(executor.resource(request.handle) instanceof ByteStream);
  if (waits) attempt(executor, request, Attempt.receive);
  else executor.complete(request.id, 0);
}

export function send(executor: Executor, request: Request): void {
  attempt(executor, request, Attempt.transmit);
}

function attempt(executor: Executor, request: Request, what: number): void {
  const socket = executor.resource(request.handle);
  if (!(socket instanceof ByteStream)) return executor.complete(request.id, -EBADF);
  socket.serve(
    executor,
    request.id,
    what,
    executor.address(request.payload),
    request.length,
    request.timeout,
  );
}

/** a0: which half, see {@link ShutdownOf}. */
export function shutdown(executor: Executor, request: Request): void {
  const socket = executor.resource(request.handle);
  const how = directions.get(request.a0);
  if (!(socket instanceof Socket)) executor.complete(request.id, -EBADF);
  else executor.complete(request.id, how === undefined ? -EINVAL : shutdownSocket(socket.descriptor, how));
}

/** a0: which option, see {@link SocketOptionCode}; a1: its value. */
export function setOption(executor: Executor, request: Request): void {
  const socket = executor.resource(request.handle);
  const option = options.get(request.a0);
  if (!(socket instanceof Socket)) executor.complete(request.id, -EBADF);
  else if (request.a0 === SocketOptionCode.resetOnClose) {
    // Lingering for longer would hold the worker in close(2).
    executor.complete(request.id, setLinger(socket.descriptor, request.a1 === 0 ? -1 : 0));
  } else if (option === undefined) executor.complete(request.id, -ENOPROTOOPT);
  else executor.complete(request.id, setSocketOption(socket.descriptor, option, request.a1));
}

/** a0: whose address, see {@link AddressOf}. The payload receives it; the result is its length. */
export function addressOfSocket(executor: Executor, request: Request): void {
  const socket = executor.resource(request.handle);
  if (!(socket instanceof Socket)) return executor.complete(request.id, -EBADF);
  const result = (request.a0 === AddressOf.peer ? peerAddress : localAddress)(socket.descriptor, address);
  if (result < 0) return executor.complete(request.id, result);
  if (address.length > request.length) return executor.complete(request.id, -EINVAL);
  copyMemory(executor.address(request.payload), address.address, address.length);
  executor.complete(request.id, address.length);
}
