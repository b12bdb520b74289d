import { isIPv6 } from 'node:net';
import { DATAGRAM_ADDRESS_OFFSET, DATAGRAM_HEADER_BYTES } from '../../src/boundary/datagram.ts';
import { ADDRESS_RECORD_BYTES } from '../../src/linux/names.ts';
import { encodeSocketAddress } from '../../src/linux/socket-address.ts';

/** A datagram of `length` bytes as the host gives it, said to be `fullLength` long. */
export function datagram(length: number, fullLength: number, addressLength?: number): Uint8Array {
  const payload = new Uint8Array(DATAGRAM_HEADER_BYTES + length).fill(0x5a, DATAGRAM_HEADER_BYTES);
  const from = { family: 'IPv4', address: '192.0.2.1', port: 7 } as const;
  const written = encodeSocketAddress(from, payload.subarray(DATAGRAM_ADDRESS_OFFSET));
  const view = new DataView(payload.buffer);
  view.setInt32(0, addressLength ?? written, true);
  view.setInt32(4, fullLength, true);
  return payload;
}

/** One address as a look-up gives it. */
export function addressRecord(address: string, length?: number): Uint8Array {
  const record = new Uint8Array(ADDRESS_RECORD_BYTES);
  const family = isIPv6(address) ? 'IPv6' : 'IPv4';
  const written = encodeSocketAddress({ family, address, port: 0 }, record.subarray(4));
  new DataView(record.buffer).setInt32(0, length ?? written, true);
  return record;
}
