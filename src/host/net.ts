import { constants } from 'node:os';
import { type Address, matchesConnect, matchesListen } from '../boundary/grants.ts';
import { AddressOf, ShutdownOf, SocketOptionCode } from '../boundary/net.ts';
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
  listenSocket,
  localAddress,
  peerAddress,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_KEEPALIVE,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_SNDBUF,
  SOCK_STREAM,
  SocketAddressBuffer,
  type SocketOption,
  setSocketOption,
  shutdownSocket,
  TCP_NODELAY,
} from '../linux/sockets.ts';
import type { Executor } from './executor.ts';
import { Attempt, ByteStream, Socket } from './socket.ts';

const { EACCES, EBADF, EINPROGRESS, EINVAL, ENOPROTOOPT } = constants.errno;
const BACKLOG_MAX = 4096;

const families = { IPv4: AF_INET, IPv6: AF_INET6, unix: AF_UNIX } as const;
const address = new SocketAddressBuffer();

const options: ReadonlyMap<number, SocketOption> = new Map([
  [SocketOptionCode.noDelay, TCP_NODELAY],
  [SocketOptionCode.keepAlive, SO_KEEPALIVE],
  [SocketOptionCode.receiveBuffer, SO_RCVBUF],
  [SocketOptionCode.sendBuffer, SO_SNDBUF],
]);

const directions: ReadonlyMap<number, number> = new Map([
  [ShutdownOf.receiving, SHUT_RD],
  [ShutdownOf.sending, SHUT_WR],
  [ShutdownOf.both, SHUT_RDWR],
]);

/** The address that a call names, copied out of its payload before it is looked at. */
function addressIn(executor: Executor, request: Request): SocketAddress | undefined {
  if (request.length > address.bytes.length) return undefined;
  copyMemory(address.address, executor.address(request.payload), request.length);
  address.length = request.length;
  return address.decode();
}

/** A stream address in the words of grants. */
function granted(where: SocketAddress): Address {
  if (where.family === 'unix') return { transport: 'unix', path: where.path };
  return { transport: 'tcp', host: where.address, port: where.port };
}

/** Payload: where. a0: how many connections may wait. */
export function listen(executor: Executor, request: Request): void {
  const where = addressIn(executor, request);
  if (where === undefined) executor.complete(request.id, -EINVAL);
  else if (!matchesListen(executor.grants, granted(where))) executor.complete(request.id, -EACCES);
  else executor.complete(request.id, openListener(executor, where, request.a0));
}

function openListener(executor: Executor, where: SocketAddress, backlog: number): number {
  const descriptor = createSocket(families[where.family], SOCK_STREAM);
  if (descriptor < 0) return descriptor;
  let result = where.family === 'unix' ? 0 : setSocketOption(descriptor, SO_REUSEADDR, 1);
  if (result >= 0) result = bindSocket(descriptor, address);
  if (result >= 0) result = listenSocket(descriptor, Math.min(Math.max(backlog, 1), BACKLOG_MAX));
  if (result >= 0) return executor.open(new Socket(descriptor));
  closeDescriptor(descriptor);
  return result;
}

/** Payload: where to. The answer is the handle of a connection that stands. */
export function connect(executor: Executor, request: Request): void {
  const where = addressIn(executor, request);
  if (where === undefined) return executor.complete(request.id, -EINVAL);
  if (!matchesConnect(executor.grants, granted(where))) return executor.complete(request.id, -EACCES);
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

export function accept(executor: Executor, request: Request): void {
  attempt(executor, request, Attempt.accept);
}

export function receive(executor: Executor, request: Request): void {
  attempt(executor, request, Attempt.receive);
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
  else if (option === undefined) executor.complete(request.id, -ENOPROTOOPT);
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
