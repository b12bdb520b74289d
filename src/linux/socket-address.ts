import { isIPv4, isIPv6 } from 'node:net';
import { InvalidArgumentError } from '../errors.ts';

/** An internet address in its usual text; `fe80::1%2` names the interface that a link-local address is on. */
export interface InternetAddress {
  readonly family: 'IPv4' | 'IPv6';
  readonly address: string;
  readonly port: number;
}

/** A path; a name of the abstract namespace, which begins with NUL; or nothing, for a socket without a name. */
export interface UnixAddress {
  readonly family: 'unix';
  readonly path: string;
}

export type SocketAddress = InternetAddress | UnixAddress;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

/** The longest of the three: a `sockaddr_un`, of which `sun_path` is 108 bytes. */
export const SOCKET_ADDRESS_BYTES_MAX = 110;

const IPV4_BYTES = 16;
const IPV6_BYTES = 28;
const IPV6_ADDRESS_OFFSET = 8;
const IPV6_SCOPE_OFFSET = 24;
const UNIX_PATH_OFFSET = 2;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Writes the `sockaddr` of `address` at the start of `bytes` and returns its length.
 * @throws InvalidArgumentError if it is not an address, or is longer than `bytes`.
 */
export function encodeSocketAddress(address: SocketAddress, bytes: Uint8Array): number {
  switch (address.family) {
    case 'IPv4':
      return encodeIPv4(address, bytes);
    case 'IPv6':
      return encodeIPv6(address, bytes);
    case 'unix':
      return encodeUnix(address, bytes);
    default:
      throw new InvalidArgumentError("The family of an address must be 'IPv4', 'IPv6' or 'unix'");
  }
}

/**
 * The address that the first `length` bytes hold, or `undefined` if they are not a well-formed `sockaddr` of the
 * three families: a stranger chooses what its own address is, so that is no error to throw.
 */
export function decodeSocketAddress(
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
): SocketAddress | undefined {
  if (length > bytes.length) return undefined;
  // A socket that was never bound: Linux gives the family alone, and nothing at all to recvfrom.
  if (length === 0) return { family: 'unix', path: '' };
  if (length < UNIX_PATH_OFFSET) return undefined;
  switch (bytes[0]! | (bytes[1]! << 8)) {
    case AF_INET:
      if (length !== IPV4_BYTES) return undefined;
      return { family: 'IPv4', address: formatIPv4(bytes, 4), port: decodePort(bytes) };
    case AF_INET6:
      if (length !== IPV6_BYTES) return undefined;
      return { family: 'IPv6', address: decodeIPv6(bytes), port: decodePort(bytes) };
    case AF_UNIX:
      return decodeUnix(bytes, length);
    default:
      return undefined;
  }
}

function encodeIPv4({ address, port }: InternetAddress, bytes: Uint8Array): number {
  if (!isIPv4(address)) throw new InvalidArgumentError(`Not an IPv4 address: ${JSON.stringify(address)}`);
  begin(bytes, IPV4_BYTES, AF_INET);
  encodePort(port, bytes);
  parseIPv4(address, bytes, 4);
  return IPV4_BYTES;
}

function encodeIPv6({ address, port }: InternetAddress, bytes: Uint8Array): number {
  const percent = address.indexOf('%');
  const text = percent === -1 ? address : address.slice(0, percent);
  const scope = percent === -1 ? 0 : parseScope(address.slice(percent + 1));
  if (!isIPv6(text) || scope === undefined) {
    throw new InvalidArgumentError(
      `Not an IPv6 address (an interface is given by its index): ${JSON.stringify(address)}`,
    );
  }
  begin(bytes, IPV6_BYTES, AF_INET6);
  encodePort(port, bytes);
  parseIPv6(text, bytes, IPV6_ADDRESS_OFFSET);
  for (let index = 0; index < 4; index++) bytes[IPV6_SCOPE_OFFSET + index] = scope >>> (8 * index);
  return IPV6_BYTES;
}

function encodeUnix({ path }: UnixAddress, bytes: Uint8Array): number {
  const abstract = path.startsWith('\0');
  if (path.includes('\0', abstract ? 1 : 0)) {
    throw new InvalidArgumentError(
      'The path of a Unix socket must not contain NUL, but first in an abstract name',
    );
  }
  if (!path.isWellFormed())
    throw new InvalidArgumentError('The path of a Unix socket must be well-formed text');
  begin(bytes, UNIX_PATH_OFFSET, AF_UNIX);
  if (path === '') return UNIX_PATH_OFFSET;
  // A path ends with NUL, so it is one byte shorter than an abstract name, whose end is its length.
  const room = bytes.subarray(UNIX_PATH_OFFSET, SOCKET_ADDRESS_BYTES_MAX - (abstract ? 0 : 1));
  const { read, written } = encoder.encodeInto(path, room);
  const length = UNIX_PATH_OFFSET + written + (abstract ? 0 : 1);
  if (read < path.length || length > bytes.length) {
    throw new InvalidArgumentError(
      'The path of a Unix socket must be at most 107 bytes long, not counting the NUL of an abstract name',
    );
  }
  if (!abstract) bytes[length - 1] = 0;
  return length;
}

function begin(bytes: Uint8Array, length: number, family: number): void {
  if (bytes.length < length)
    throw new InvalidArgumentError(`A socket address needs room for ${length} bytes`);
  bytes.fill(0, 0, length);
  bytes[0] = family;
}

function encodePort(port: number, bytes: Uint8Array): void {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) {
    throw new InvalidArgumentError(`A port must be an integer from 0 to 65535, not ${port}`);
  }
  bytes[2] = port >>> 8;
  bytes[3] = port;
}

function decodePort(bytes: Uint8Array): number {
  return (bytes[2]! << 8) | bytes[3]!;
}

/** `text` is known to be an IPv4 address. */
function parseIPv4(text: string, bytes: Uint8Array, offset: number): void {
  let part = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text.charCodeAt(index);
    if (character === 0x2e) {
      bytes[offset++] = part;
      part = 0;
    } else part = part * 10 + character - 0x30;
  }
  bytes[offset] = part;
}

/** `text` is known to be an IPv6 address without a scope. The address in `bytes` is known to be zero. */
function parseIPv6(text: string, bytes: Uint8Array, offset: number): void {
  const gap = text.indexOf('::');
  if (gap === -1) {
    parseGroups(text, bytes, offset);
    return;
  }
  parseGroups(text.slice(0, gap), bytes, offset);
  const tail = text.slice(gap + 2);
  parseGroups(tail, bytes, offset + 16 - groupsBytes(tail));
}

function groupsBytes(text: string): number {
  if (text === '') return 0;
  let groups = text.includes('.') ? 2 : 1;
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) === 0x3a) groups++;
  return groups * 2;
}

function parseGroups(text: string, bytes: Uint8Array, offset: number): void {
  if (text === '') return;
  for (const group of text.split(':')) {
    if (group.includes('.')) {
      parseIPv4(group, bytes, offset);
      return;
    }
    const value = Number.parseInt(group, 16);
    bytes[offset++] = value >>> 8;
    bytes[offset++] = value;
  }
}

/** The index of an interface: never 0, which means none. */
function parseScope(text: string): number | undefined {
  if (!/^[1-9][0-9]{0,9}$/.test(text)) return undefined;
  const scope = Number(text);
  return scope <= 0xffff_ffff ? scope : undefined;
}

function decodeIPv6(bytes: Uint8Array): string {
  const text = formatIPv6(bytes, IPV6_ADDRESS_OFFSET);
  let scope = 0;
  for (let index = 3; index >= 0; index--) scope = scope * 256 + bytes[IPV6_SCOPE_OFFSET + index]!;
  return scope === 0 ? text : `${text}%${scope}`;
}

function formatIPv4(bytes: Uint8Array, offset: number): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

/** The text of RFC 5952: lower case, the first longest run of zero groups shortened, mapped IPv4 with dots. */
function formatIPv6(bytes: Uint8Array, offset: number): string {
  if (isMappedIPv4(bytes, offset)) return `::ffff:${formatIPv4(bytes, offset + 12)}`;
  let runStart = -1;
  let runLength = 1;
  for (let group = 0; group < 8; group++) {
    const length = zeroGroups(bytes, offset, group);
    if (length > runLength) {
      runStart = group;
      runLength = length;
    }
  }
  let text = '';
  for (let group = 0; group < 8; group++) {
    if (group === runStart) {
      text += '::';
      group += runLength - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += groupAt(bytes, offset, group).toString(16);
  }
  return text;
}

function groupAt(bytes: Uint8Array, offset: number, group: number): number {
  return (bytes[offset + group * 2]! << 8) | bytes[offset + group * 2 + 1]!;
}

function zeroGroups(bytes: Uint8Array, offset: number, first: number): number {
  let group = first;
  while (group < 8 && groupAt(bytes, offset, group) === 0) group++;
  return group - first;
}

function isMappedIPv4(bytes: Uint8Array, offset: number): boolean {
  return zeroGroups(bytes, offset, 0) === 5 && groupAt(bytes, offset, 5) === 0xffff;
}

function decodeUnix(bytes: Uint8Array, length: number): UnixAddress | undefined {
  if (length > SOCKET_ADDRESS_BYTES_MAX) return undefined;
  if (length === UNIX_PATH_OFFSET) return { family: 'unix', path: '' };
  const abstract = bytes[UNIX_PATH_OFFSET] === 0;
  let end = length;
  if (!abstract && bytes[length - 1] === 0) end--;
  // One that holds NUL could not be told from its own beginning when it is given back.
  if (bytes.subarray(UNIX_PATH_OFFSET + 1, end).includes(0)) return undefined;
  try {
    return { family: 'unix', path: decoder.decode(bytes.subarray(UNIX_PATH_OFFSET, end)) };
  } catch {
    return undefined;
  }
}
