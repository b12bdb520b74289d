/**
 * The head of an HTTP/1.1 request (RFC 9112), read strictly: what could be understood in two ways is refused, so
 * that no proxy in front and this server ever disagree on where a request ends.
 */
export interface Request {
  readonly method: string;
  /** Decoded, absolute, without a query and without `.` or `..`. */
  readonly path: string;
  readonly headers: ReadonlyMap<string, string>;
  /** Whether the connection stays open after the response. */
  readonly keepAlive: boolean;
}

/** A request that is answered with an error, after which the connection is closed. */
export class RequestError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Bytes of a request's head, first line and headers together: as much as common servers take. */
export const HEAD_BYTES_MAX = 8192;
const HEADERS_MAX = 100;

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ ]+) HTTP\/(\d)\.(\d)$/;
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;
/** No controls but the tab: a bare CR or LF is none of the ends of a line. */
const TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Where the head that begins at `start` ends, blank line included; -1 when its end has not come yet. */
export function findHeadEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at + 3 < end; at++) {
    if (bytes[at] === 13 && bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10)
      return at + 4;
  }
  return -1;
}

/** @throws RequestError if it is no request that this server takes. */
export function parseRequest(head: string): Request {
  const [first = '', ...lines] = head.slice(0, -4).split('\r\n');
  const match = REQUEST_LINE.exec(first);
  if (match === null || !TEXT.test(first)) throw new RequestError(400, 'no request line');
  const [, method, target, major, minor] = match as unknown as [string, string, string, string, string];
  if (major !== '1') throw new RequestError(505, 'only HTTP/1 is spoken here');
  const headers = parseHeaders(lines);
  if (minor !== '0' && !headers.has('host')) throw new RequestError(400, 'no Host');
  refuseBody(headers);
  const tokens = (headers.get('connection') ?? '').toLowerCase().split(/[ \t]*,[ \t]*/);
  const keepAlive = minor === '0' ? tokens.includes('keep-alive') : !tokens.includes('close');
  return { method, path: parseTarget(target), headers, keepAlive };
}

function parseHeaders(lines: readonly string[]): Map<string, string> {
  if (lines.length > HEADERS_MAX) throw new RequestError(431, 'too many headers');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const match = HEADER.exec(line);
    if (match === null || !TEXT.test(line)) throw new RequestError(400, 'no header');
    const name = (match[1] as string).toLowerCase();
    const before = headers.get(name);
    if (before !== undefined && (name === 'host' || name === 'content-length'))
      throw new RequestError(400, `more than one ${name}`);
    headers.set(name, before === undefined ? (match[2] as string) : `${before}, ${match[2]}`);
  }
  return headers;
}

/** Nothing here takes a body; one that came all the same would be read as the next request. */
function refuseBody(headers: ReadonlyMap<string, string>): void {
  if (headers.has('transfer-encoding')) throw new RequestError(501, 'no transfer codings');
  const length = headers.get('content-length');
  if (length === undefined || /^0+$/.test(length)) return;
  throw new RequestError(/^\d+$/.test(length) ? 413 : 400, 'no bodies');
}

function parseTarget(target: string): string {
  const absolute = /^https?:\/\/[^/?#]*([/?].*)?$/i.exec(target);
  const [encoded = ''] = (absolute === null ? target : (absolute[1] ?? '/')).split(/[?#]/);
  let path: string;
  try {
    path = decodeURIComponent(encoded === '' ? '/' : encoded);
  } catch {
    throw new RequestError(400, 'the path is not well encoded');
  }
  const parts = path.split('/');
  if (!path.startsWith('/') || path.includes('\0') || parts.includes('..') || parts.includes('.')) {
    throw new RequestError(400, 'no absolute path');
  }
  return path;
}

/** The bytes that a Range header asks for, last one included. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/**
 * One range of `size` bytes (RFC 9110, section 14). `undefined` where the header is to be ignored: another unit,
 * several ranges, or what cannot be read; `'unsatisfiable'` where it asks for bytes that there are not.
 */
export function parseRange(value: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(value ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 };
  }
  const first = Number(match[1]);
  const last = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== '' && Number(match[2]) < first) return undefined;
  return first < size ? { first, last } : 'unsatisfiable';
}
