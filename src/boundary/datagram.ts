/**
 * The wire format of datagrams. The payload of one is a header and its bytes, both ways: two words, the length of
 * the address and the length that the datagram truly has, and then the `sockaddr` of whom it goes to or comes
 * from. An address of length 0 is the peer that the socket is connected to.
 */
export const DATAGRAM_HEADER_BYTES = 128;
export const DATAGRAM_ADDRESS_OFFSET = 8;
/** Room for an address in a header. */
export const DATAGRAM_ADDRESS_BYTES_MAX: number = DATAGRAM_HEADER_BYTES - DATAGRAM_ADDRESS_OFFSET;
/** The longest datagram that a header leaves room for in an arena block; UDP carries 65,507 bytes at most. */
export const DATAGRAM_BYTES_MAX = 65_507;

/** `a0` of an openDatagram call without an address to bind to. */
export const DatagramFamily = { IPv4: 1, IPv6: 2, unix: 3 } as const;
