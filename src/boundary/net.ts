/** The wire format of the socket calls, beyond what every call has. */

/** `a0` of a setOption call; `a1` is the value. Delays are in seconds, buffers in bytes. */
export const SocketOptionCode = {
  noDelay: 1,
  keepAlive: 2,
  receiveBuffer: 3,
  sendBuffer: 4,
  keepAliveDelay: 5,
  keepAliveInterval: 6,
  keepAliveCount: 7,
  resetOnClose: 8,
  broadcast: 9,
} as const;

/** Bits of `a1` of a listen call and of an openDatagram call that binds. */
export const BindFlag = { reusePort: 1, ipv6Only: 2 } as const;

/** `a0` of an address call. The payload comes back as a `sockaddr`. */
export const AddressOf = { local: 0, peer: 1 } as const;

/** `a0` of a shutdown call. */
export const ShutdownOf = { receiving: 0, sending: 1, both: 2 } as const;

/** Bits of `a1` of a watch call and of what a poll call reports. */
export const Readiness = { readable: 1, writable: 2, closed: 4 } as const;

/** What a poll call reports of one socket: its handle and its readiness, 32-bit words. */
export const READY_BYTES = 8;
/** Sockets that one poll call reports at most. */
export const READY_MAX = 1024;
