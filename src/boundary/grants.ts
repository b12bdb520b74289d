import { InvalidArgumentError } from '../errors.ts';

/**
 * What an image may ask of the host, in the words of its manifest, and whether one request is among it. Pure:
 * the enclave asks before a call leaves it, the host asks again when the call arrives.
 *
 * An address is written `tcp:HOST:PORT`, `udp:HOST:PORT`, `unix:/PATH` or `unix:@NAME` for a name of the abstract
 * namespace; an IPv6 host stands in brackets, and the port `*` of a grant stands for any.
 */

export type Address =
  | { readonly transport: 'tcp' | 'udp'; readonly host: string; readonly port: number }
  | { readonly transport: 'unix'; readonly path: string };

/** An address whose port may be any. */
export type AddressGrant =
  | { readonly transport: 'tcp' | 'udp'; readonly host: string; readonly port: number | '*' }
  | { readonly transport: 'unix'; readonly path: string };

export type FileAccess = 'read' | 'read-write';

export interface FileGrant {
  /** Where the program sees the folder: an absolute path. */
  readonly mount: string;
  readonly access: FileAccess;
  /** Whether its files are kept from the host: sealed in one file of the folder, see docs/protected-files.md. */
  readonly protected?: boolean | undefined;
  /** Of a protected mount: bytes of private memory for its buffer cache. */
  readonly cacheBytes?: number | undefined;
  /** Of a protected mount: when changes are made durable. */
  readonly durability?: FileDurability | undefined;
}

/** At the end only, at `sync`, also when a file that was written is closed, or after every change. */
export type FileDurability = 'none' | 'sync' | 'close' | 'write';
export const FILE_DURABILITIES: readonly FileDurability[] = ['none', 'sync', 'close', 'write'];

/** A place below a mount; `relative` is empty for the mount itself and never leads out of it. */
export interface MountedPath<G extends FileGrant = FileGrant> {
  readonly grant: G;
  readonly relative: string;
}

const PORT_MAX = 65_535;
/** RFC 1035, section 2.3.4. */
const HOST_NAME_LENGTH_MAX = 253;
/** `sun_path` of a socket address without its closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;
/** PATH_MAX of Linux without its closing zero. */
const PATH_BYTES_MAX = 4095;

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const HOST_NAME = /^(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/;
const FORMS = `'tcp:127.0.0.1:8080', 'udp:[::1]:*' or 'unix:/run/service.sock'`;

export type StreamName = 'stdin' | 'stdout' | 'stderr';

/** Grants as a manifest has them: addresses as text. */
export interface WrittenGrants {
  readonly listen: readonly string[];
  /** For UDP, whom to send to. The host may be a name. */
  readonly connect: readonly string[];
  readonly files: readonly FileGrant[];
  readonly streams: readonly StreamName[];
  /** Whether host names may be looked up. */
  readonly names: boolean;
}

/** Grants with their addresses read, ready to be asked. */
export interface Grants extends Omit<WrittenGrants, 'listen' | 'connect'> {
  readonly listen: readonly AddressGrant[];
  readonly connect: readonly AddressGrant[];
}

export function parseGrants(written: WrittenGrants): Grants {
  return {
    ...written,
    listen: written.listen.map(parseListenGrant),
    connect: written.connect.map(parseConnectGrant),
  };
}

/** Reads a grant to listen. Port 0 grants a port of the kernel's choice, `*` grants any. */
export function parseListenGrant(text: string): AddressGrant {
  const grant = parseAddressGrant(text);
  if (grant.transport !== 'unix' && !isIpAddress(grant.host)) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} listens on a host name; write its IP address.`);
  }
  return grant;
}

export function parseConnectGrant(text: string): AddressGrant {
  const grant = parseAddressGrant(text);
  if (grant.transport !== 'unix' && grant.port === 0) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} connects to port 0; write a port or *.`);
  }
  return grant;
}

/** Whether the program may listen on an address, port 0 being one of the kernel's choice. */
export function matchesListen(grants: Grants, address: Address): boolean {
  return matches(grants.listen, address);
}

/** Whether the program may connect or send to an address; a host name only matches itself. */
export function matchesConnect(grants: Grants, address: Address): boolean {
  return matches(grants.connect, address);
}

/**
 * Finds the innermost mount that holds an absolute path, and the path below it with `.` and repeated slashes
 * gone. Undefined when no mount holds it. A path with `..` or a zero byte is the caller's mistake: what `..`
 * means depends on links that only the host can see.
 */
export function mountOf<G extends FileGrant>(grants: readonly G[], path: string): MountedPath<G> | undefined {
  const parts = pathParts(path);
  let found: MountedPath<G> | undefined;
  let depth = -1;
  for (const grant of grants) {
    const mount = pathParts(grant.mount);
    if (mount.length <= depth || mount.some((part, index) => parts[index] !== part)) continue;
    found = { grant, relative: parts.slice(mount.length).join('/') };
    depth = mount.length;
  }
  return found;
}

/** An absolute path with `.` and repeated slashes gone. */
export function normalizePath(path: string): string {
  return `/${pathParts(path).join('/')}`;
}

/** An IP address or host name in the one form that is compared; undefined when it is neither. */
export function canonicalHost(host: string): string | undefined {
  if (IPV4.test(host)) return host;
  if (host.includes(':')) return canonicalIpv6(host);
  const name = host.toLowerCase();
  // A name whose last label is a number is read as an IPv4 address by some resolvers.
  const isName =
    name.length <= HOST_NAME_LENGTH_MAX && HOST_NAME.test(name) && !/(^|\.)(\d+|0x[0-9a-f]*)$/.test(name);
  return isName ? name : undefined;
}

function isIpAddress(host: string): boolean {
  return IPV4.test(host) || host.includes(':');
}

function matches(grants: readonly AddressGrant[], address: Address): boolean {
  if (address.transport === 'unix') {
    return grants.some((grant) => grant.transport === 'unix' && grant.path === address.path);
  }
  const host = canonicalHost(address.host);
  return grants.some(
    (grant) =>
      grant.transport === address.transport &&
      grant.host === host &&
      (grant.port === '*' || grant.port === address.port),
  );
}

function parseAddressGrant(text: string): AddressGrant {
  if (text.startsWith('unix:')) return { transport: 'unix', path: socketPath(text, text.slice(5)) };
  const match = /^(tcp|udp):(?:\[([^\]]+)\]|([^:[\]]+)):(\*|\d{1,5})$/.exec(text);
  const host = match === null ? undefined : hostOf(match[2], match[3]);
  const port = match?.[4] === '*' ? '*' : Number(match?.[4]);
  if (match === null || host === undefined || (port !== '*' && port > PORT_MAX)) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no address; write it like ${FORMS}.`);
  }
  return { transport: match[1] as 'tcp' | 'udp', host, port };
}

function hostOf(bracketed: string | undefined, plain: string | undefined): string | undefined {
  return bracketed === undefined ? canonicalHost(plain!) : canonicalIpv6(bracketed);
}

function socketPath(text: string, path: string): string {
  if (new TextEncoder().encode(path).length > SOCKET_PATH_BYTES_MAX) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} is longer than ${SOCKET_PATH_BYTES_MAX} bytes.`);
  }
  return path.startsWith('@') ? abstractName(text, path.slice(1)) : normalizePath(path);
}

/** As a socket address has it: behind a zero byte. */
function abstractName(text: string, name: string): string {
  if (name === '' || name.includes('\0')) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} has no name behind the @, or a zero byte in it.`);
  }
  return `\0${name}`;
}

/** RFC 5952's form, as the URL standard's parser writes it. No zones: they name an interface of the host. */
function canonicalIpv6(host: string): string | undefined {
  const url = `http://[${host}]/`;
  return /^[0-9a-fA-F:.]+$/.test(host) && URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined;
}

function pathParts(path: string): string[] {
  const quoted = JSON.stringify(path.slice(0, 100));
  if (!path.startsWith('/')) throw new InvalidArgumentError(`${quoted} is no absolute path.`);
  if (path.includes('\0')) throw new InvalidArgumentError(`${quoted} has a zero byte in it.`);
  if (path.length > PATH_BYTES_MAX || new TextEncoder().encode(path).length > PATH_BYTES_MAX) {
    throw new InvalidArgumentError(`${quoted} is longer than ${PATH_BYTES_MAX} bytes.`);
  }
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new InvalidArgumentError(`${quoted} has '..' in it; write where it leads.`);
  return parts;
}
