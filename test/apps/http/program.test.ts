import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type * as program from '../../../apps/http/program.ts';
import { buildImage, Enclave } from '../../../src/index.ts';

const PAGE = '<!doctype html>\n<title>An enclave</title>\n';
const large = randomBytes(300_000);
const folder = mkdtempSync(join(tmpdir(), 'http-'));
let enclave: Enclave<typeof program>;
let port: number;

before(async () => {
  writeFileSync(join(folder, 'large.bin'), large);
  writeFileSync(join(folder, 'empty.txt'), '');
  symlinkSync('/etc/passwd', join(folder, 'outside.txt'));
  const image = await buildImage(fileURLToPath(new URL('../../../apps/http/program.js', import.meta.url)), {
    name: 'http',
    grants: { listen: ['tcp:127.0.0.1:0'], files: [{ mount: '/www', access: 'read' }] },
  });
  enclave = await Enclave.create<typeof program>(image, { directories: { '/www': folder } });
  await enclave.launch('put', '/index.html', new TextEncoder().encode(PAGE));
  port = await enclave.launch('open', '127.0.0.1', 0);
  enclave.launch('serve', { mount: '/www', timeout: 1500 }).catch(() => {});
});

after(async () => {
  await enclave.stop();
  rmSync(folder, { recursive: true });
});

async function open(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Sends those pieces and gives all that comes until the server ends. */
async function talk(...pieces: string[]): Promise<string> {
  const socket = await open();
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

const url = (path: string): string => `http://127.0.0.1:${port}${path}`;
const get = (path: string, ...headers: string[]): string =>
  [`GET ${path} HTTP/1.1`, 'Host: test', ...headers, '', ''].join('\r\n');

test('pages come from memory, files from the mount, with their types and lengths', async () => {
  const page = await fetch(url('/'));
  assert.equal(page.status, 200);
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(await page.text(), PAGE);
  const file = await fetch(url('/large.bin'));
  assert.equal(file.headers.get('content-length'), '300000');
  assert.ok(large.equals(Buffer.from(await file.arrayBuffer())));
  assert.equal(await (await fetch(url('/empty.txt'))).text(), '');
});

test('HEAD has the headers of GET and no body', async () => {
  const text = await talk(get('/large.bin', 'Connection: close').replace('GET', 'HEAD'));
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(text, /\r\nContent-Length: 300000\r\n/);
  assert.ok(text.endsWith('\r\n\r\n'));
  const missing = await talk(get('/missing', 'Connection: close').replace('GET', 'HEAD'));
  assert.match(missing, /^HTTP\/1\.1 404 /);
  assert.ok(missing.endsWith('\r\n\r\n'));
});

test('what is not there, not a file, or behind a link that leads out is not found', async () => {
  for (const path of ['/missing.txt', '/outside.txt', '/large.bin/more', '/index.html/']) {
    assert.equal((await fetch(url(path))).status, 404, path);
  }
  assert.match(await talk(get('/%2e%2e/etc/passwd')), /^HTTP\/1\.1 400 /);
});

test('one connection serves request after request, pipelined ones in their order', async () => {
  const last = get('/', 'Connection: close');
  const text = await talk(get('/') + get('/missing') + get('/empty.txt'), last.slice(0, 9), last.slice(9));
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]);
  assert.deepEqual(statuses, ['200', '404', '200', '200']);
  assert.equal(text.split(PAGE).length, 3);
  assert.match(text, /Connection: close/);
});

test('many more requests than fit the input at once are all answered', async () => {
  const count = 1000;
  const text = await talk(get('/').repeat(count) + get('/', 'Connection: close'));
  assert.equal(text.split(PAGE).length - 1, count + 1);
});

test('a range is served, and one that there is not is refused', async () => {
  const part = await fetch(url('/large.bin'), { headers: { range: 'bytes=100000-199999' } });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get('content-range'), 'bytes 100000-199999/300000');
  assert.ok(large.subarray(100_000, 200_000).equals(Buffer.from(await part.arrayBuffer())));
  const beyond = await fetch(url('/large.bin'), { headers: { range: 'bytes=300000-' } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers.get('content-range'), 'bytes */300000');
});

test('other methods, bodies and oversized heads are refused, and the refusal arrives', async () => {
  assert.match(
    await talk(get('/', 'Connection: close').replace('GET', 'DELETE')),
    /^HTTP\/1\.1 405 .*\r\n(.*\r\n)*Allow: GET, HEAD/,
  );
  assert.match(
    await talk('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n', 'x'.repeat(100_000)),
    /^HTTP\/1\.1 413 /,
  );
  assert.match(await talk(get('/', `X-Large: ${'x'.repeat(20_000)}`)), /^HTTP\/1\.1 431 /);
  assert.match(await talk('\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await talk('SSH-2.0-OpenSSH_9.6\r\n\r\n'), /^HTTP\/1\.1 400 /);
});

test('a client that never finishes its request is told so; one that sends nothing is let go', async () => {
  assert.match(await talk('GET / HTTP/1.1\r\nHo'), /^HTTP\/1\.1 408 /);
  assert.equal(await talk(), '');
});

test('a client that takes nothing, resets or leaves in the middle disturbs nobody', async () => {
  const slow = await open();
  slow.pause();
  slow.write(get('/large.bin').repeat(50));
  for (let index = 0; index < 20; index++) {
    const socket = await open();
    socket.write(get('/large.bin').slice(0, 10 + index * 3));
    if (index % 2 === 0) socket.resetAndDestroy();
    else socket.destroy();
  }
  assert.equal(await (await fetch(url('/'))).text(), PAGE);
  await once(slow.resume(), 'close');
  assert.equal(await (await fetch(url('/'))).text(), PAGE);
});

test('wrk finds no error', async (context) => {
  const run = promisify(execFile);
  const found = await run('wrk', ['--version']).catch((error: { code?: unknown }) => error.code !== 'ENOENT');
  if (found === false) {
    assert.equal(process.env['CI'], undefined, 'install wrk: apt-get install wrk');
    return context.skip('install wrk: apt-get install wrk');
  }
  const { stdout } = await run('wrk', ['-t1', '-c32', '-d1s', url('/')]);
  assert.doesNotMatch(stdout, /Socket errors|Non-2xx/);
  assert.match(stdout, /Requests\/sec: +[1-9]/);
});
