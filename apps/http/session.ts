import type { Connection } from '../../src/enclave.ts';
import { type Content, findContent } from './content.ts';
import {
  type ByteRange,
  findHeadEnd,
  HEAD_BYTES_MAX,
  parseRange,
  parseRequest,
  type Request,
  RequestError,
} from './request.ts';

export interface SessionOptions {
  /** Where the files are that are served beside those in memory. */
  readonly mount: string | undefined;
  /** How long a client may take for a request, or to take some of a response, in milliseconds. */
  readonly timeout: number;
}

const OUTPUT_BYTES = 65_536;
const DRAINED_BYTES_MAX = 1_048_576;
const DRAIN_MILLISECONDS = 1000;
const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  206: 'Partial Content',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  416: 'Range Not Satisfiable',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  505: 'HTTP Version Not Supported',
};
/** Heads of responses end well before this; larger bodies follow on their own. */
const HEAD_ROOM = 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder('latin1');

let date = '';
let dateSecond = 0;

/** The Date header, made once a second. */
function dateNow(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = new Date(second * 1000).toUTCString();
  }
  return date;
}

/** One connection: its requests one after the other, pipelined ones from what has come already. */
export class Session {
  readonly #connection: Connection;
  readonly #options: SessionOptions;
  readonly #input = new Uint8Array(HEAD_BYTES_MAX);
  readonly #output = new Uint8Array(OUTPUT_BYTES);
  #begin = 0;
  #end = 0;

  constructor(connection: Connection, options: SessionOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Serves until the client or an error ends it; throws what the connection throws. */
  async run(): Promise<void> {
    await this.#serve();
    this.#connection.shutdown();
    await this.#drain();
  }

  /** Takes what the client still sends, within reason: closing before it would take the last response from it. */
  async #drain(): Promise<void> {
    for (let left = DRAINED_BYTES_MAX; left > 0; ) {
      const length = await this.#connection.receiveAsync(this.#output, { timeout: DRAIN_MILLISECONDS });
      if (length === 0) return;
      left -= length;
    }
  }

  async #serve(): Promise<void> {
    try {
      for (let request = await this.#next(); request !== undefined; request = await this.#next()) {
        await this.#answer(request);
        if (!request.keepAlive) return;
      }
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      await this.#refuse(error.status, 'close');
    }
  }

  /** The next request; `undefined` when the client has ended. */
  async #next(): Promise<Request | undefined> {
    let searched = this.#begin;
    for (;;) {
      const end = findHeadEnd(this.#input, searched, this.#end);
      if (end >= 0) {
        const head = decoder.decode(this.#input.subarray(this.#begin, end));
        this.#begin = end;
        return parseRequest(head);
      }
      searched = Math.max(this.#begin, this.#end - 3);
      searched -= this.#makeRoom();
      if (!(await this.#receive())) return undefined;
    }
  }

  /** Moves what is there to the front, and says by how much. */
  #makeRoom(): number {
    if (this.#end < HEAD_BYTES_MAX) return 0;
    const moved = this.#begin;
    if (moved === 0) throw new RequestError(431, 'the head is too large');
    this.#input.copyWithin(0, moved, this.#end);
    this.#begin = 0;
    this.#end -= moved;
    return moved;
  }

  async #receive(): Promise<boolean> {
    try {
      const room = this.#input.subarray(this.#end);
      const length = await this.#connection.receiveAsync(room, { timeout: this.#options.timeout });
      this.#end += length;
      return length > 0;
    } catch (error) {
      if ((error as { code?: string }).code !== 'ETIMEDOUT') throw error;
      if (this.#begin < this.#end) throw new RequestError(408, 'the request takes too long');
      return false;
    }
  }

  async #answer(request: Request): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') return this.#refuse(405, request);
    const content = await findContent(request.path, this.#options.mount);
    if (content === undefined) return this.#refuse(404, request);
    try {
      await this.#send(request, content);
    } finally {
      await content.close();
    }
  }

  async #send(request: Request, content: Content): Promise<void> {
    const { size, type } = content;
    const range = request.method === 'GET' ? parseRange(request.headers.get('range'), size) : undefined;
    if (range === 'unsatisfiable') return this.#refuse(416, request, `Content-Range: bytes */${size}\r\n`);
    const part = range ?? { first: 0, last: size - 1 };
    const length = part.last - part.first + 1;
    const which = range === undefined ? '' : `Content-Range: bytes ${part.first}-${part.last}/${size}\r\n`;
    const headers = `Content-Type: ${type}\r\nAccept-Ranges: bytes\r\n${which}`;
    const head = this.#writeHead(range === undefined ? 200 : 206, length, request.keepAlive, headers);
    if (request.method === 'HEAD') return this.#flush(head);
    await this.#sendBody(head, content, part);
  }

  /** The head and what fits beside it in one send, then the rest. */
  async #sendBody(head: number, content: Content, { first, last }: ByteRange): Promise<void> {
    let filled = head;
    for (let position = first; position <= last; ) {
      const room = this.#output.subarray(filled, Math.min(OUTPUT_BYTES, filled + last - position + 1));
      const length = await content.read(room, position);
      // A file that became shorter than its head said: the client sees a connection that ends too soon.
      if (length === 0) throw new Error('the file became shorter while it was sent');
      position += length;
      await this.#flush(filled + length);
      filled = 0;
    }
    if (filled > 0) await this.#flush(filled);
  }

  async #refuse(status: number, request: Request | 'close', headers = ''): Promise<void> {
    const body = request !== 'close' && request.method === 'HEAD' ? '' : `${status} ${reasons[status]}\n`;
    const allow = status === 405 ? 'Allow: GET, HEAD\r\n' : '';
    const keepAlive = request !== 'close' && request.keepAlive;
    const plain = `Content-Type: text/plain; charset=utf-8\r\n${allow}${headers}`;
    const length = `${status} ${reasons[status]}\n`.length;
    const head = this.#writeHead(status, length, keepAlive, plain);
    await this.#flush(head + encoder.encodeInto(body, this.#output.subarray(head)).written);
  }

  #writeHead(status: number, length: number, keepAlive: boolean, headers: string): number {
    const connection = keepAlive ? '' : 'Connection: close\r\n';
    const text = `HTTP/1.1 ${status} ${reasons[status]}\r\nDate: ${dateNow()}\r\n${headers}${connection}Content-Length: ${length}\r\n\r\n`;
    return encoder.encodeInto(text, this.#output.subarray(0, HEAD_ROOM)).written;
  }

  async #flush(length: number): Promise<void> {
    await this.#connection.sendAsync(this.#output.subarray(0, length), { timeout: this.#options.timeout });
  }
}
