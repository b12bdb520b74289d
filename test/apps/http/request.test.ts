import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findHeadEnd, parseRange, parseRequest, RequestError } from '../../../apps/http/request.ts';

const request = (first: string, ...headers: string[]): string =>
  `${[first, ...headers].join('\r\n')}\r\n\r\n`;

test('a request is read: method, decoded path without its query, headers, and whether it stays', () => {
  const read = parseRequest(
    request('GET /a%20b/?q=/../ HTTP/1.1', 'Host: x', 'X-One:  two ', 'x-one: three'),
  );
  assert.equal(read.method, 'GET');
  assert.equal(read.path, '/a b/');
  assert.equal(read.headers.get('x-one'), 'two, three');
  assert.equal(read.keepAlive, true);
  assert.equal(parseRequest(request('GET / HTTP/1.1', 'Host: x', 'Connection: a, Close')).keepAlive, false);
  assert.equal(parseRequest(request('GET / HTTP/1.0')).keepAlive, false);
  assert.equal(parseRequest(request('GET / HTTP/1.0', 'Connection: keep-alive')).keepAlive, true);
  assert.equal(parseRequest(request('GET http://host/a?b HTTP/1.1', 'Host: x')).path, '/a');
  assert.equal(parseRequest(request('GET http://host HTTP/1.1', 'Host: x')).path, '/');
});

for (const [name, text, status] of [
  ['no version', request('GET /'), 400],
  ['another version', request('GET / HTTP/2.0', 'Host: x'), 505],
  ['no host', request('GET / HTTP/1.1'), 400],
  ['two hosts', request('GET / HTTP/1.1', 'Host: x', 'Host: y'), 400],
  ['two spaces', request('GET  / HTTP/1.1', 'Host: x'), 400],
  ['a space before the colon', request('GET / HTTP/1.1', 'Host: x', 'Content-Length : 3'), 400],
  ['a folded header', request('GET / HTTP/1.1', 'Host: x', ' folded'), 400],
  ['a bare line feed', request('GET / HTTP/1.1\nHost: y', 'Host: x'), 400],
  ['a bare line feed in a header', request('GET / HTTP/1.1', 'Host: x\nX: y'), 400],
  ['a zero byte', request('GET /\0 HTTP/1.1', 'Host: x'), 400],
  ['an encoded zero byte', request('GET /%00 HTTP/1.1', 'Host: x'), 400],
  ['dots', request('GET /../etc/passwd HTTP/1.1', 'Host: x'), 400],
  ['encoded dots', request('GET /%2e%2e%2fetc/passwd HTTP/1.1', 'Host: x'), 400],
  ['a broken encoding', request('GET /%zz HTTP/1.1', 'Host: x'), 400],
  ['an asterisk', request('OPTIONS * HTTP/1.1', 'Host: x'), 400],
  ['a body', request('POST / HTTP/1.1', 'Host: x', 'Content-Length: 3'), 413],
  ['a length that is none', request('POST / HTTP/1.1', 'Host: x', 'Content-Length: -1'), 400],
  ['two lengths', request('GET / HTTP/1.1', 'Host: x', 'Content-Length: 0', 'Content-Length: 0'), 400],
  ['chunks', request('POST / HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked'), 501],
  [
    '101 headers',
    request('GET / HTTP/1.1', 'Host: x', ...Array.from({ length: 100 }, (_, i) => `x${i}: y`)),
    431,
  ],
] as const) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => parseRequest(text),
      (error) => error instanceof RequestError && error.status === status,
    );
  });
}

test('whatever comes is a request or a RequestError, and its path never leads out', () => {
  const line = fc.oneof(fc.string(), fc.constantFrom('Host: x', 'GET / HTTP/1.1', 'Content-Length: 0'));
  fc.assert(
    fc.property(fc.webPath(), fc.array(line), (path, lines) => {
      for (const text of [
        request(`GET ${path} HTTP/1.1`, 'Host: x', ...lines),
        request(lines.join('\r\n')),
      ]) {
        try {
          const read = parseRequest(text);
          assert.ok(read.path.startsWith('/') && !read.path.split('/').includes('..'));
        } catch (error) {
          assert.ok(error instanceof RequestError);
        }
      }
    }),
  );
});

test('the end of a head is found wherever it lies', () => {
  const bytes = Buffer.from('GET / HTTP/1.1\r\n\r\nGET');
  assert.equal(findHeadEnd(bytes, 0, bytes.length), 18);
  for (let end = 0; end < 18; end++) assert.equal(findHeadEnd(bytes, 0, end), -1);
});

test('a range is the bytes that the standard says', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), { first: 0, last: 0 });
  assert.deepEqual(parseRange('bytes=2-', 10), { first: 2, last: 9 });
  assert.deepEqual(parseRange('bytes=-3', 10), { first: 7, last: 9 });
  assert.deepEqual(parseRange('bytes=-30', 10), { first: 0, last: 9 });
  assert.deepEqual(parseRange('bytes=4-99', 10), { first: 4, last: 9 });
  for (const beyond of ['bytes=10-', 'bytes=10-12', 'bytes=-0']) {
    assert.equal(parseRange(beyond, 10), 'unsatisfiable');
  }
  for (const ignored of [undefined, '', 'bytes=-', 'bytes=5-4', 'bytes=0-1,3-4', 'lines=1-2', 'bytes=a-b']) {
    assert.equal(parseRange(ignored, 10), undefined);
  }
});
