import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import process from 'node:process';

/** Opens many connections to a port, sends a few bytes on each and takes them back; holds them until its parent leaves. */
const AT_ONCE = 200;
const TEXT = 'here';

const [port, count] = process.argv.slice(2).map(Number) as [number, number];
const sockets: Socket[] = [];

async function open(): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}

async function exchange(socket: Socket): Promise<void> {
  socket.write(TEXT);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.equal(answer.toString(), TEXT);
}

while (sockets.length < count) {
  sockets.push(...(await Promise.all(Array.from({ length: AT_ONCE }, open))));
}
await Promise.all(sockets.map(exchange));
process.send?.(sockets.length);
process.once('disconnect', () => process.exit());
