import { isIP } from 'node:net';
import { canonicalHost } from '../boundary/grants.ts';
import { CallKind } from '../boundary/kinds.ts';
import { ADDRESSES_MAX, LookupFamily } from '../boundary/names.ts';
import { InvalidArgumentError, NotGrantedError, SystemError } from '../errors.ts';
import { ADDRESS_RECORD_BYTES } from '../linux/names.ts';
import { decodeSocketAddress } from '../linux/socket-address.ts';
import { runtime } from './runtime.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  type Transfer,
} from './transfer.ts';

/**
 * Host names, looked up by the host's own resolver. The host may answer with any address that there is: who is
 * at the other end is for a certificate or a key to say, never for a name or an address.
 */
export interface LookupOptions {
  /** 4 or 6; 0, which is the default, is either. */
  readonly family?: 0 | 4 | 6;
}

/** One address of a name, as `dns.lookup` tells it. */
export interface LookupAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** How Node tells what getaddrinfo(3) answers, which are no errors of system calls. */
const NOT_FOUND = -3008;
const TRY_AGAIN = -3001;

/** All addresses of a name, the one to prefer first. An IP address stands for itself, and needs no grant. */
export function lookup(host: string, options?: LookupOptions & CallOptions): LookupAddress[] {
  const itself = literal(host);
  if (itself !== undefined) return [itself];
  const call = asking(host, options);
  try {
    return addressesIn(call, callSync(call, options));
  } catch (error) {
    throw asNode(error, host);
  }
}

export async function lookupAsync(
  host: string,
  options?: LookupOptions & AsyncCallOptions,
): Promise<LookupAddress[]> {
  const itself = literal(host);
  if (itself !== undefined) return [itself];
  const call = asking(host, options);
  try {
    return addressesIn(call, await callAsync(call, options));
  } catch (error) {
    throw asNode(error, host);
  }
}

function literal(host: string): LookupAddress | undefined {
  const family = isIP(host);
  return family === 4 || family === 6 ? { address: host, family } : undefined;
}

interface Asking extends Transfer {
  readonly view: Uint8Array<ArrayBuffer>;
  readonly a0: number;
}

function asking(host: string, options: LookupOptions | undefined): Asking {
  if (!runtime().grants.names) {
    throw new NotGrantedError(
      'the image may not look up names: set names: true in the grants of its manifest',
    );
  }
  const name = typeof host === 'string' ? canonicalHost(host) : undefined;
  if (name === undefined) throw new InvalidArgumentError(`${JSON.stringify(host)} is no host name`);
  const family = options?.family ?? LookupFamily.any;
  if (family !== LookupFamily.any && family !== LookupFamily.IPv4 && family !== LookupFamily.IPv6) {
    throw new InvalidArgumentError(`a family is 0, 4 or 6, not ${family}`);
  }
  const view = new Uint8Array(ADDRESSES_MAX * ADDRESS_RECORD_BYTES);
  const { written } = new TextEncoder().encodeInto(name, view);
  const { length } = view;
  return {
    kind: CallKind.lookup,
    handle: 0,
    view,
    length,
    direction: Direction.both,
    a0: family,
    a1: written,
  };
}

/** Reads the records that came: each a whole internet address, and of the family that was asked for. */
function addressesIn({ view, a0 }: Asking, length: number): LookupAddress[] {
  const { calls } = runtime();
  if (length === 0 || length % ADDRESS_RECORD_BYTES !== 0)
    calls.violate(`the host gave ${length} bytes of addresses`);
  const words = new DataView(view.buffer);
  const addresses: LookupAddress[] = [];
  for (let start = 0; start < length; start += ADDRESS_RECORD_BYTES) {
    const bytes = view.subarray(start + 4, start + ADDRESS_RECORD_BYTES);
    const decoded = decodeSocketAddress(bytes, words.getUint32(start, true));
    if (decoded === undefined || decoded.family === 'unix')
      return calls.violate('the host gave an address that is none');
    const family = decoded.family === 'IPv4' ? 4 : 6;
    if (a0 !== LookupFamily.any && a0 !== family)
      calls.violate('the host gave an address of another family than was asked for');
    addresses.push({ address: decoded.address, family });
  }
  return addresses;
}

function asNode(error: unknown, host: string): unknown {
  if (!(error instanceof SystemError)) return error;
  if (error.code === 'ENOENT') return new SystemError('ENOTFOUND', NOT_FOUND, error.syscall, host);
  if (error.code === 'EAGAIN') return new SystemError('EAI_AGAIN', TRY_AGAIN, error.syscall, host);
  return error;
}
