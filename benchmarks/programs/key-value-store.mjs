/**
 * As much of memcached's text protocol as the comparison needs, for whoever serves it: `get <key>` and
 * `set <key> <flags> <seconds> <bytes>`, one whole request at a time.
 */
const G = 'g'.charCodeAt(0);
const LINE_END = '\r\n';
const STORED = Buffer.from('STORED\r\n');
const ABSENT = Buffer.from('END\r\n');

export class KeyValueStore {
  /** What a get of each key is answered with: header, value, and end. */
  #answers = new Map();

  /** The answer to the request in the first `length` bytes; it stays valid until its key is set again. */
  answer(bytes, length) {
    const request = Buffer.from(bytes.buffer, bytes.byteOffset, length);
    if (request[0] === G) return this.#answers.get(request.latin1Slice(4, length - 2)) ?? ABSENT;
    const line = request.indexOf(LINE_END);
    const [, key, flags, , size] = request.latin1Slice(0, line).split(' ');
    const value = request.subarray(line + 2, line + 2 + Number(size));
    const header = Buffer.from(`VALUE ${key} ${flags} ${size}${LINE_END}`);
    this.#answers.set(key, Buffer.concat([header, value, Buffer.from(LINE_END), ABSENT]));
    return STORED;
  }
}
