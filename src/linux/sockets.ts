import { declare, negativeErrno } from './ffi.ts';
import { decodeSocketAddress, encodeSocketAddress, type SocketAddress } from './socket-address.ts';
import { Structure } from './structure.ts';
import type { Vectors } from './vectors.ts';

/**
 * Sockets that never block. Every function returns what the kernel returns, a value of zero or more or
 * `-errno` (`-EAGAIN` for what would have to wait), and allocates nothing. A write to a connection that the
 * other side has closed is `-EPIPE`, never a signal.
 */
const socket: (family: number, type: number, protocol: number) => number =
  declare('int socket(int, int, int)');
const bind: (fd: number, address: number, length: number) => number = declare(
  'int bind(int, uintptr_t, uint)',
);
const listen: (fd: number, backlog: number) => number = declare('int listen(int, int)');
const accept4: (fd: number, address: number, length: number, flags: number) => number = declare(
  'int accept4(int, uintptr_t, uintptr_t, int)',
);
const connect: (fd: number, address: number, length: number) => number = declare(
  'int connect(int, uintptr_t, uint)',
);
const recv: (fd: number, address: number, length: number, flags: number) => number = declare(
  'intptr_t recv(int, uintptr_t, size_t, int)',
);
const send: (fd: number, address: number, length: number, flags: number) => number = declare(
  'intptr_t send(int, uintptr_t, size_t, int)',
);
const recvfrom: (
  fd: number,
  address: number,
  length: number,
  flags: number,
  from: number,
  fromLength: number,
) => number = declare('intptr_t recvfrom(int, uintptr_t, size_t, int, uintptr_t, uintptr_t)');
const sendto: (
  fd: number,
  address: number,
  length: number,
  flags: number,
  to: number,
  toLength: number,
) => number = declare('intptr_t sendto(int, uintptr_t, size_t, int, uintptr_t, uint)');
const recvmsg: (fd: number, message: number, flags: number) => number = declare(
  'intptr_t recvmsg(int, uintptr_t, int)',
);
const sendmsg: (fd: number, message: number, flags: number) => number = declare(
  'intptr_t sendmsg(int, uintptr_t, int)',
);
const shutdown: (fd: number, how: number) => number = declare('int shutdown(int, int)');
const getsockname: (fd: number, address: number, length: number) => number = declare(
  'int getsockname(int, uintptr_t, uintptr_t)',
);
const getpeername: (fd: number, address: number, length: number) => number = declare(
  'int getpeername(int, uintptr_t, uintptr_t)',
);
const setsockopt: (fd: number, level: number, name: number, value: number, length: number) => number =
  declare('int setsockopt(int, int, int, uintptr_t, uint)');
const getsockopt: (fd: number, level: number, name: number, value: number, length: number) => number =
  declare('int getsockopt(int, int, int, uintptr_t, uintptr_t)');

export { AF_INET, AF_INET6, AF_UNIX } from './socket-address.ts';

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;

export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

/** What `MessageHeader.flags` has when a datagram was longer than the room for it. */
export const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

const SOCK_CLOEXEC_NONBLOCK = 0x80800;

/** An option whose value is an integer. */
export interface SocketOption {
  readonly level: number;
  readonly name: number;
}

const SOL_SOCKET = 1;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;
const SO_ERROR = 4;
const SO_LINGER = 13;

export const SO_REUSEADDR: SocketOption = { level: SOL_SOCKET, name: 2 };
export const SO_BROADCAST: SocketOption = { level: SOL_SOCKET, name: 6 };
/** In bytes. Reads back as twice what was set: the kernel counts its own bookkeeping. So does SO_RCVBUF. */
export const SO_SNDBUF: SocketOption = { level: SOL_SOCKET, name: 7 };
export const SO_RCVBUF: SocketOption = { level: SOL_SOCKET, name: 8 };
export const SO_KEEPALIVE: SocketOption = { level: SOL_SOCKET, name: 9 };
export const SO_REUSEPORT: SocketOption = { level: SOL_SOCKET, name: 15 };
/** 1 for a socket that listens; it cannot be set. */
export const SO_ACCEPTCONN: SocketOption = { level: SOL_SOCKET, name: 30 };
export const TCP_NODELAY: SocketOption = { level: IPPROTO_TCP, name: 1 };
/** In seconds, as is TCP_KEEPINTVL. */
export const TCP_KEEPIDLE: SocketOption = { level: IPPROTO_TCP, name: 4 };
export const TCP_KEEPINTVL: SocketOption = { level: IPPROTO_TCP, name: 5 };
export const TCP_KEEPCNT: SocketOption = { level: IPPROTO_TCP, name: 6 };
export const IPV6_V6ONLY: SocketOption = { level: IPPROTO_IPV6, name: 26 };

const INTEGER_BYTES = 4;
const LINGER_BYTES = 8;
const option = new Structure(LINGER_BYTES);
const optionLength = new Structure(INTEGER_BYTES);

const LENGTH_OFFSET = 128;

/** A `sockaddr` and its length, for calls that take an address or give one. */
export class SocketAddressBuffer {
  readonly address: number;
  /** Room for any address; `length` says how much of it is one. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #structure: Structure = new Structure(LENGTH_OFFSET + INTEGER_BYTES);

  constructor() {
    this.address = this.#structure.address;
    this.bytes = this.#structure.bytes.subarray(0, LENGTH_OFFSET);
  }

  get length(): number {
    return this.#structure.view.getUint32(LENGTH_OFFSET, true);
  }

  set length(length: number) {
    this.#structure.view.setUint32(LENGTH_OFFSET, length, true);
  }

  /** @throws InvalidArgumentError if it is not an address. */
  encode(address: SocketAddress): this {
    this.length = encodeSocketAddress(address, this.bytes);
    return this;
  }

  /** `undefined` if the address is of another family than the three, or cannot be written as text. */
  decode(): SocketAddress | undefined {
    return decodeSocketAddress(this.bytes, this.length);
  }

  /** Offers all its room to a call that gives an address; returns where that call reads and writes the length. */
  offer(): number {
    this.length = LENGTH_OFFSET;
    return this.address + LENGTH_OFFSET;
  }
}

export function createSocket(family: number, type: number): number {
  return negativeErrno(socket(family, type | SOCK_CLOEXEC_NONBLOCK, 0));
}

export function bindSocket(fd: number, address: SocketAddressBuffer): number {
  return negativeErrno(bind(fd, address.address, address.length));
}

export function listenSocket(fd: number, backlog: number): number {
  return negativeErrno(listen(fd, backlog));
}

/** The descriptor of a new connection, non-blocking too; `peer` receives where it comes from. */
export function acceptSocket(fd: number, peer: SocketAddressBuffer): number {
  return negativeErrno(accept4(fd, peer.address, peer.offer(), SOCK_CLOEXEC_NONBLOCK));
}

/** `-EINPROGRESS` as a rule: wait for EPOLLOUT, then ask `socketError` how it went. */
export function connectSocket(fd: number, address: SocketAddressBuffer): number {
  return negativeErrno(connect(fd, address.address, address.length));
}

/** 0, or as `-errno` the error that is pending on the socket, which is thereby cleared. */
export function socketError(fd: number): number {
  const result = readOption(fd, SOL_SOCKET, SO_ERROR);
  return result < 0 ? result : 0 - option.view.getInt32(0, true);
}

/** How many bytes came; 0 at the end of a stream. */
export function receive(fd: number, address: number, length: number): number {
  return negativeErrno(recv(fd, address, length, MSG_DONTWAIT));
}

/** How many bytes were taken, which may be fewer than `length` on a stream. */
export function transmit(fd: number, address: number, length: number): number {
  return negativeErrno(send(fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/**
 * Of datagrams only. Returns the true length of the datagram even if that exceeds `length`: the rest of it is
 * lost. (On a stream the flag that asks for the true length would throw bytes away.)
 */
export function receiveFrom(fd: number, address: number, length: number, from: SocketAddressBuffer): number {
  return negativeErrno(recvfrom(fd, address, length, MSG_DONTWAIT | MSG_TRUNC, from.address, from.offer()));
}

export function transmitTo(fd: number, address: number, length: number, to: SocketAddressBuffer): number {
  return negativeErrno(sendto(fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL, to.address, to.length));
}

const MESSAGE_BYTES = 56;
const MESSAGE_NAME_LENGTH_OFFSET = 8;
const MESSAGE_VECTORS_OFFSET = 16;
const MESSAGE_VECTOR_COUNT_OFFSET = 24;
const MESSAGE_FLAGS_OFFSET = 48;

/** A `msghdr` without control data: the parts of one message, and where it goes to or comes from. */
export class MessageHeader {
  readonly vectors: Vectors;
  /** Left out, the message is for the peer that the socket is connected to. */
  readonly peer: SocketAddressBuffer | undefined;
  readonly #structure: Structure = new Structure(MESSAGE_BYTES);

  constructor(vectors: Vectors, peer?: SocketAddressBuffer) {
    this.vectors = vectors;
    this.peer = peer;
    this.#structure.set64(0, peer === undefined ? 0 : peer.address);
    this.#structure.set64(MESSAGE_VECTORS_OFFSET, vectors.address);
  }

  /** Of the message received last. */
  get flags(): number {
    return this.#structure.view.getInt32(MESSAGE_FLAGS_OFFSET, true);
  }

  get nameLength(): number {
    return this.#structure.view.getUint32(MESSAGE_NAME_LENGTH_OFFSET, true);
  }

  /** The address for a call that uses `nameLength` bytes of room for the peer and the vectors that are set now. */
  prepare(nameLength: number): number {
    this.#structure.view.setUint32(MESSAGE_NAME_LENGTH_OFFSET, nameLength, true);
    this.#structure.set64(MESSAGE_VECTOR_COUNT_OFFSET, this.vectors.count);
    return this.#structure.address;
  }
}

/** Scatters what comes over the vectors of `message`; returns how many bytes that were. */
export function receiveMessage(fd: number, message: MessageHeader): number {
  const room = message.peer === undefined ? 0 : LENGTH_OFFSET;
  const result = negativeErrno(recvmsg(fd, message.prepare(room), MSG_DONTWAIT));
  if (result >= 0 && message.peer !== undefined) message.peer.length = message.nameLength;
  return result;
}

/** Gathers the vectors of `message` into one message or stretch of a stream. */
export function transmitMessage(fd: number, message: MessageHeader): number {
  const nameLength = message.peer === undefined ? 0 : message.peer.length;
  return negativeErrno(sendmsg(fd, message.prepare(nameLength), MSG_DONTWAIT | MSG_NOSIGNAL));
}

export function shutdownSocket(fd: number, how: number): number {
  return negativeErrno(shutdown(fd, how));
}

export function localAddress(fd: number, into: SocketAddressBuffer): number {
  return negativeErrno(getsockname(fd, into.address, into.offer()));
}

export function peerAddress(fd: number, into: SocketAddressBuffer): number {
  return negativeErrno(getpeername(fd, into.address, into.offer()));
}

export function setSocketOption(fd: number, { level, name }: SocketOption, value: number): number {
  option.view.setInt32(0, value, true);
  return negativeErrno(setsockopt(fd, level, name, option.address, INTEGER_BYTES));
}

/** The value, or `-errno`. */
export function getSocketOption(fd: number, { level, name }: SocketOption): number {
  const result = readOption(fd, level, name);
  return result < 0 ? result : option.view.getInt32(0, true);
}

/** For how many seconds `close` keeps what was not yet sent; 0 resets the connection, -1 is the default. */
export function setLinger(fd: number, seconds: number): number {
  option.view.setInt32(0, seconds < 0 ? 0 : 1, true);
  option.view.setInt32(4, Math.max(seconds, 0), true);
  return negativeErrno(setsockopt(fd, SOL_SOCKET, SO_LINGER, option.address, LINGER_BYTES));
}

function readOption(fd: number, level: number, name: number): number {
  optionLength.view.setUint32(0, INTEGER_BYTES, true);
  return negativeErrno(getsockopt(fd, level, name, option.address, optionLength.address));
}
