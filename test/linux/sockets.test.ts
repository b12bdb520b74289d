import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { constants, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { closeDescriptor, EPOLLHUP, EPOLLIN, EPOLLOUT, pollDescriptor } from '../../src/linux/events.ts';
import type { InternetAddress, SocketAddress } from '../../src/linux/socket-address.ts';
import * as sockets from '../../src/linux/sockets.ts';
import { Structure } from '../../src/linux/structure.ts';
import { Vectors } from '../../src/linux/vectors.ts';

const { EAGAIN, EADDRINUSE, ECONNREFUSED, ECONNRESET, EDESTADDRREQ, EINPROGRESS, ENOTCONN, EPIPE } =
  constants.errno;
const PATIENCE_MILLISECONDS = 30_000;

/** The descriptors that a test has yet to close: a number closed twice may be another's by then. */
const kept = new Set<number>();
const hasIPv6 =
  process.env['CI'] !== undefined ||
  Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'));
const withIPv6 = { skip: hasIPv6 ? false : 'there is no ::1: set sysctl net.ipv6.conf.lo.disable_ipv6=0' };
const address = new sockets.SocketAddressBuffer();
const FAMILIES = { IPv4: sockets.AF_INET, IPv6: sockets.AF_INET6, unix: sockets.AF_UNIX };

/** The bytes of a text, where the kernel can read them. */
function bytesOf(text: string): Structure {
  const structure = new Structure(text.length);
  Buffer.from(structure.bytes.buffer).write(text, 'latin1');
  return structure;
}

function textOf(structure: Structure, length: number): string {
  return Buffer.from(structure.bytes.buffer, 0, length).toString('latin1');
}

function open(t: TestContext, family: SocketAddress['family'], type: number): number {
  return keep(t, sockets.createSocket(FAMILIES[family], type));
}

function keep(t: TestContext, fd: number): number {
  assert.ok(fd >= 0, `a descriptor, not ${fd}`);
  kept.add(fd);
  t.after(() => kept.has(fd) && release(fd));
  return fd;
}

function release(fd: number): void {
  kept.delete(fd);
  assert.equal(closeDescriptor(fd), 0);
}

function awaitReady(fd: number, events: number): void {
  assert.notEqual(pollDescriptor(fd, events, PATIENCE_MILLISECONDS) & events, 0, 'the socket became ready');
}

function bound(t: TestContext, where: SocketAddress, type: number): { fd: number; at: SocketAddress } {
  const fd = open(t, where.family, type);
  assert.equal(sockets.bindSocket(fd, address.encode(where)), 0);
  assert.equal(sockets.localAddress(fd, address), 0);
  return { fd, at: address.decode()! };
}

function connected(
  t: TestContext,
  where: SocketAddress,
): { client: number; server: number; at: SocketAddress } {
  const { fd: listener, at } = bound(t, where, sockets.SOCK_STREAM);
  assert.equal(sockets.listenSocket(listener, 8), 0);
  assert.equal(sockets.acceptSocket(listener, address), -EAGAIN);
  const client = open(t, where.family, sockets.SOCK_STREAM);
  const started = sockets.connectSocket(client, address.encode(at));
  assert.ok(started === 0 || started === -EINPROGRESS, String(started));
  awaitReady(client, EPOLLOUT);
  assert.equal(sockets.socketError(client), 0);
  awaitReady(listener, EPOLLIN);
  const server = keep(t, sockets.acceptSocket(listener, address));
  return { client, server, at };
}

function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sgxio-sockets-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** A new address to bind to, of each kind. */
function everyAddress(t: TestContext): SocketAddress[] {
  const addresses: SocketAddress[] = [
    { family: 'IPv4', address: '127.0.0.1', port: 0 },
    { family: 'unix', path: join(temporaryDirectory(t), 'socket') },
    { family: 'unix', path: `\0sgxio-test-${process.pid}-${Math.random()}` },
  ];
  if (hasIPv6) addresses.push({ family: 'IPv6', address: '::1', port: 0 });
  return addresses;
}

test('a stream carries bytes both ways and ends, over every family', (t) => {
  for (const where of everyAddress(t)) {
    const { client, server, at } = connected(t, where);
    assert.equal(sockets.peerAddress(client, address), 0);
    assert.deepEqual(address.decode(), at);

    const room = new Structure(64);
    assert.equal(sockets.receive(server, room.address, 64), -EAGAIN);
    const hello = bytesOf('hello');
    assert.equal(sockets.transmit(client, hello.address, 5), 5);
    awaitReady(server, EPOLLIN);
    assert.equal(sockets.receive(server, room.address, 2), 2);
    assert.equal(sockets.receive(server, room.address + 2, 62), 3);
    assert.equal(textOf(room, 5), 'hello');

    assert.equal(sockets.shutdownSocket(client, sockets.SHUT_WR), 0);
    awaitReady(server, EPOLLIN);
    assert.equal(sockets.receive(server, room.address, 64), 0);
    assert.equal(sockets.transmit(client, hello.address, 5), -EPIPE);
    assert.equal(sockets.transmit(server, hello.address, 5), 5);
    awaitReady(client, EPOLLIN);
    assert.equal(sockets.receive(client, room.address, 64), 5);
  }
});

test('an accepted connection names its peer as the client names itself', withIPv6, (t) => {
  const { fd: listener, at } = bound(t, { family: 'IPv6', address: '::1', port: 0 }, sockets.SOCK_STREAM);
  sockets.listenSocket(listener, 1);
  const client = open(t, 'IPv6', sockets.SOCK_STREAM);
  sockets.connectSocket(client, address.encode(at));
  awaitReady(listener, EPOLLIN);
  keep(t, sockets.acceptSocket(listener, address));
  const peer = address.decode();
  assert.equal(sockets.localAddress(client, address), 0);
  assert.deepEqual(peer, address.decode());
});

test('a stream that nobody reads fills up instead of blocking', (t) => {
  const { client } = connected(t, { family: 'IPv4', address: '127.0.0.1', port: 0 });
  const block = new Structure(1 << 20);
  let sent = 0;
  let result = 0;
  while (result >= 0) {
    result = sockets.transmit(client, block.address, 1 << 20);
    if (result > 0) sent += result;
    assert.ok(sent < 1 << 28, 'the buffers of a connection have an end');
  }
  assert.equal(result, -EAGAIN);
  assert.ok(sent > 0);
});

test('datagrams keep their bounds and name their sender, over every family', (t) => {
  for (const where of everyAddress(t)) {
    const receiver = bound(t, where, sockets.SOCK_DGRAM);
    const elsewhere = everyAddress(t).find((other) => other.family === where.family)!;
    const sender = bound(t, elsewhere, sockets.SOCK_DGRAM);
    const room = new Structure(64);
    assert.equal(sockets.receiveFrom(receiver.fd, room.address, 64, address), -EAGAIN);
    const message = bytesOf('datagram');
    assert.equal(sockets.transmitTo(sender.fd, message.address, 8, address.encode(receiver.at)), 8);
    assert.equal(sockets.transmitTo(sender.fd, message.address, 4, address), 4);
    awaitReady(receiver.fd, EPOLLIN);
    assert.equal(sockets.receiveFrom(receiver.fd, room.address, 3, address), 8, 'the true length');
    assert.deepEqual(address.decode(), sender.at);
    awaitReady(receiver.fd, EPOLLIN);
    assert.equal(sockets.receiveFrom(receiver.fd, room.address, 64, address), 4);
    assert.equal(textOf(room, 4), 'data');
  }
});

test('messages gather and scatter', (t) => {
  const receiver = bound(t, { family: 'IPv4', address: '127.0.0.1', port: 0 }, sockets.SOCK_DGRAM);
  const sender = bound(t, { family: 'IPv4', address: '127.0.0.1', port: 0 }, sockets.SOCK_DGRAM);
  const [head, body] = [bytesOf('head'), bytesOf('body and tail')];
  const parts = new Vectors(4);
  parts.set(0, head.address, 4);
  parts.set(1, body.address, 13);
  parts.count = 2;
  const unaddressed = new sockets.MessageHeader(parts);
  assert.equal(sockets.transmitMessage(sender.fd, unaddressed), -EDESTADDRREQ);
  const outgoing = new sockets.MessageHeader(parts, new sockets.SocketAddressBuffer().encode(receiver.at));
  assert.equal(sockets.transmitMessage(sender.fd, outgoing), 17);

  const [first, second] = [new Structure(6), new Structure(6)];
  const rooms = new Vectors(2);
  rooms.set(0, first.address, 6);
  rooms.set(1, second.address, 6);
  rooms.count = 2;
  const incoming = new sockets.MessageHeader(rooms, new sockets.SocketAddressBuffer());
  awaitReady(receiver.fd, EPOLLIN);
  assert.equal(sockets.receiveMessage(receiver.fd, incoming), 12);
  assert.equal(textOf(first, 6) + textOf(second, 6), 'headbody and');
  assert.equal(incoming.flags & sockets.MSG_TRUNC, sockets.MSG_TRUNC);
  assert.deepEqual(incoming.peer!.decode(), sender.at);
  assert.equal(sockets.receiveMessage(receiver.fd, incoming), -EAGAIN);

  parts.count = 1;
  assert.equal(sockets.transmitMessage(sender.fd, outgoing), 4);
  awaitReady(receiver.fd, EPOLLIN);
  assert.equal(sockets.receiveMessage(receiver.fd, incoming), 4);
  assert.equal(incoming.flags & sockets.MSG_TRUNC, 0);
});

test('a refused connection says so once, in the error of the socket', (t) => {
  const { at } = bound(t, { family: 'IPv4', address: '127.0.0.1', port: 0 }, sockets.SOCK_STREAM);
  const client = open(t, 'IPv4', sockets.SOCK_STREAM);
  assert.equal(sockets.connectSocket(client, address.encode(at)), -EINPROGRESS);
  awaitReady(client, EPOLLHUP);
  assert.equal(sockets.socketError(client), -ECONNREFUSED);
  assert.equal(sockets.socketError(client), 0);
  assert.equal(sockets.peerAddress(client, address), -ENOTCONN);
});

test('an integer option reads back as it was set', withIPv6, (t) => {
  const stream = open(t, 'IPv4', sockets.SOCK_STREAM);
  const settings: [sockets.SocketOption, number, number][] = [
    [sockets.SO_REUSEADDR, 1, 1],
    [sockets.SO_REUSEPORT, 1, 1],
    [sockets.SO_KEEPALIVE, 1, 1],
    [sockets.TCP_NODELAY, 1, 1],
    [sockets.TCP_KEEPIDLE, 77, 77],
    [sockets.TCP_KEEPINTVL, 11, 11],
    [sockets.TCP_KEEPCNT, 5, 5],
    [sockets.SO_RCVBUF, 16_384, 32_768],
    [sockets.SO_SNDBUF, 16_384, 32_768],
  ];
  for (const [option, value, readBack] of settings) {
    assert.notEqual(sockets.getSocketOption(stream, option), readBack, JSON.stringify(option));
    assert.equal(sockets.setSocketOption(stream, option, value), 0);
    assert.equal(sockets.getSocketOption(stream, option), readBack, JSON.stringify(option));
  }
  const datagram = open(t, 'IPv6', sockets.SOCK_DGRAM);
  assert.equal(sockets.setSocketOption(datagram, sockets.SO_BROADCAST, 1), 0);
  assert.equal(sockets.getSocketOption(datagram, sockets.SO_BROADCAST), 1);
  assert.equal(sockets.setSocketOption(datagram, sockets.IPV6_V6ONLY, 1), 0);
  assert.equal(sockets.getSocketOption(datagram, sockets.IPV6_V6ONLY), 1);
});

test('a port is shared only by those who all say so', (t) => {
  const first = open(t, 'IPv4', sockets.SOCK_STREAM);
  sockets.setSocketOption(first, sockets.SO_REUSEPORT, 1);
  address.encode({ family: 'IPv4', address: '127.0.0.1', port: 0 });
  assert.equal(sockets.bindSocket(first, address), 0);
  assert.equal(sockets.listenSocket(first, 1), 0);
  sockets.localAddress(first, address);
  const second = open(t, 'IPv4', sockets.SOCK_STREAM);
  assert.equal(sockets.bindSocket(second, address), -EADDRINUSE);
  sockets.setSocketOption(second, sockets.SO_REUSEPORT, 1);
  assert.equal(sockets.bindSocket(second, address), 0);
});

test('a linger of zero resets the connection', (t) => {
  const { client, server } = connected(t, { family: 'IPv4', address: '127.0.0.1', port: 0 });
  assert.equal(sockets.setLinger(client, 0), 0);
  release(client);
  awaitReady(server, EPOLLHUP);
  assert.equal(sockets.receive(server, new Structure(1).address, 1), -ECONNRESET);
});

test('without a linger the connection ends in order', (t) => {
  const { client, server } = connected(t, { family: 'IPv4', address: '127.0.0.1', port: 0 });
  assert.equal(sockets.setLinger(client, 0), 0);
  assert.equal(sockets.setLinger(client, -1), 0);
  release(client);
  awaitReady(server, EPOLLIN);
  assert.equal(sockets.receive(server, new Structure(1).address, 1), 0);
});

test('a server of Node answers', async (t) => {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = open(t, 'IPv4', sockets.SOCK_STREAM);
  sockets.connectSocket(client, address.encode({ family: 'IPv4', address: '127.0.0.1', port }));
  awaitReady(client, EPOLLOUT);
  assert.equal(sockets.transmit(client, bytesOf('echo').address, 4), 4);
  const room = new Structure(64);
  let received = -EAGAIN;
  while (received === -EAGAIN) {
    await new Promise(setImmediate);
    received = sockets.receive(client, room.address, 64);
  }
  assert.equal(textOf(room, received), 'echo');
  assert.equal(sockets.shutdownSocket(client, sockets.SHUT_RDWR), 0);
});

test('a client of Node is served, and both see the same addresses', withIPv6, async (t) => {
  const { fd: listener, at } = bound(t, { family: 'IPv6', address: '::', port: 0 }, sockets.SOCK_STREAM);
  sockets.listenSocket(listener, 8);
  const { port } = at as InternetAddress;
  const client: Socket = connect(port, '127.0.0.1');
  t.after(() => client.destroy());
  await once(client, 'connect');
  const server = keep(t, sockets.acceptSocket(listener, address));
  assert.deepEqual(address.decode(), { family: 'IPv6', address: '::ffff:127.0.0.1', port: client.localPort });
  assert.equal(sockets.localAddress(server, address), 0);
  assert.deepEqual(address.decode(), { family: 'IPv6', address: '::ffff:127.0.0.1', port });
  assert.equal(sockets.transmit(server, bytesOf('served').address, 6), 6);
  const [data] = (await once(client, 'data')) as [Buffer];
  assert.equal(data.toString(), 'served');
});
