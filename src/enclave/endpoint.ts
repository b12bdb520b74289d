import { isIP, isIPv6 } from 'node:net';
import { type Address, matchesConnect, matchesListen } from '../boundary/grants.ts';
import { InvalidArgumentError, NotGrantedError } from '../errors.ts';
import { encodeSocketAddress, type SocketAddress } from '../linux/socket-address.ts';
import { runtime } from './runtime.ts';

/**
 * An IP address, or for connecting over TCP a host name, and a port; or the path of a Unix socket, absolute and without `.` or `..`, or a name of the abstract
 * namespace behind a zero byte.
 */
export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string };

export type Transport = 'tcp' | 'udp';

export const ADDRESS_ROOM = 128;
const PORT_MAX = 65_535;

/** Writes an endpoint as a `sockaddr` into a buffer of its own. */
export function encodeEndpoint(endpoint: Endpoint): { view: Uint8Array<ArrayBuffer>; length: number } {
  const view = new Uint8Array(ADDRESS_ROOM);
  const length = encodeSocketAddress(socketAddress(endpoint), view);
  return { view, length };
}

function socketAddress(endpoint: Endpoint): SocketAddress {
  if ('path' in endpoint) return { family: 'unix', path: endpoint.path };
  if (isIP(endpoint.host) === 0) {
    throw new InvalidArgumentError(
      `${JSON.stringify(endpoint.host)} is no IP address; look names up first, with names.lookup`,
    );
  }
  return { family: isIPv6(endpoint.host) ? 'IPv6' : 'IPv4', address: endpoint.host, port: endpoint.port };
}

export function describeEndpoint(endpoint: Endpoint): string {
  return 'path' in endpoint ? endpoint.path : `${endpoint.host}:${endpoint.port}`;
}

/** Asks the image's own grants before anything leaves the enclave. */
export function requireListen(endpoint: Endpoint, transport: Transport): void {
  const address = inGrants(endpoint, transport);
  if (!matchesListen(runtime().grants, address)) throw notGranted('listen', address);
}

export function requireConnect(endpoint: Endpoint, transport: Transport): void {
  const address = inGrants(endpoint, transport);
  if (!matchesConnect(runtime().grants, address)) throw notGranted('connect', address);
}

/** An endpoint in the words of grants. Programs without types give anything. */
function inGrants(endpoint: Endpoint, transport: Transport): Address {
  const { host, port, path } = Object(endpoint) as { host?: unknown; port?: unknown; path?: unknown };
  if (typeof path === 'string' && path !== '') return { transport: 'unix', path };
  if (typeof host === 'string' && typeof port === 'number' && port >= 0 && port <= PORT_MAX) {
    return { transport, host, port };
  }
  throw new InvalidArgumentError(
    `an endpoint is { host, port }, with a port from 0 to ${PORT_MAX}, or { path }, not ${JSON.stringify(endpoint)}`,
  );
}

function notGranted(list: 'listen' | 'connect', address: Address): NotGrantedError {
  const text = JSON.stringify(writtenGrant(address));
  return new NotGrantedError(`the image was not granted ${text}: add it to grants.${list} of its manifest`);
}

function writtenGrant(address: Address): string {
  if (address.transport === 'unix') return `unix:${address.path.replace('\0', '@')}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${address.transport}:${host}:${address.port}`;
}
