/**
 * Whether io_uring would serve sockets better than epoll does: an echo server of a worker's own system calls each
 * way, a process of its own under the client of `sgxio bench echo`. What a worker does, it does: it waits, receives
 * 64 bytes on each connection that has some, sends them back, and waits again; with io_uring all that goes to the
 * kernel in one call for each round of its loop.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { load } from './peers.mjs';

const ENGINES = ['epoll', 'io_uring'];
const CONNECTIONS = [1, 8, 64, 1000];
const BYTES = 64;
const ROUNDS = 7;
const REQUESTS = 20_000;
const QUICK_REQUESTS = 2000;
const ROOM_BYTES = 4096;
const RING_ENTRIES = 4096;
const EVENTS = 256;

const { addToEpoll, createEpoll, EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EventBuffer, waitForEvents } =
  await load('linux/events.js');
const sockets = await load('linux/sockets.js');
const { Structure } = await load('linux/structure.js');

if (process.send === undefined) await compare();
else serve(process.argv[2]);

function serve(engine) {
  const listener = sockets.createSocket(sockets.AF_INET, sockets.SOCK_STREAM);
  const address = new sockets.SocketAddressBuffer();
  sockets.bindSocket(listener, address.encode({ family: 'IPv4', address: '127.0.0.1', port: 0 }));
  sockets.listenSocket(listener, 4096);
  sockets.localAddress(listener, address);
  process.send(address.decode().port, () => {
    if (engine === 'epoll') serveWithEpoll(listener);
    else void serveWithUring(listener);
  });
}

function acceptAll(listener, onConnection) {
  const peer = new sockets.SocketAddressBuffer();
  for (let fd = sockets.acceptSocket(listener, peer); fd >= 0; fd = sockets.acceptSocket(listener, peer)) {
    sockets.setSocketOption(fd, sockets.TCP_NODELAY, 1);
    onConnection(fd);
  }
}

function serveWithEpoll(listener) {
  const epoll = createEpoll();
  const events = new EventBuffer(EVENTS);
  const room = new Structure(ROOM_BYTES);
  addToEpoll(epoll, listener, EPOLLIN);
  for (;;) {
    const count = waitForEvents(epoll, events, -1);
    for (let index = 0; index < count; index++) {
      const fd = events.descriptorAt(index);
      if (fd === listener) {
        acceptAll(listener, (connection) =>
          addToEpoll(epoll, connection, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET),
        );
        continue;
      }
      const length = sockets.receive(fd, room.address, ROOM_BYTES);
      if (length > 0) sockets.transmit(fd, room.address, length);
    }
  }
}

/** A token is twice the descriptor, and one more for a send. */
async function serveWithUring(listener) {
  const { Uring } = await load('linux/uring.js');
  const ring = new Uring(RING_ENTRIES);
  const rooms = [];
  ring.queuePoll(listener, EPOLLIN, 2 * listener);
  for (;;) {
    ring.submit(1);
    const count = ring.completed;
    for (let index = 0; index < count; index++) {
      const token = ring.tokenAt(index);
      const fd = token >> 1;
      if (fd === listener) {
        acceptAll(listener, (connection) => {
          rooms[connection] = [new Structure(ROOM_BYTES), new Structure(ROOM_BYTES)];
          ring.queueRead(connection, rooms[connection][0].address, ROOM_BYTES, 0, 2 * connection);
        });
        ring.queuePoll(listener, EPOLLIN, 2 * listener);
        continue;
      }
      const length = ring.resultAt(index);
      if ((token & 1) === 1 || length <= 0) continue;
      const room = rooms[fd].reverse();
      ring.queueWrite(fd, room[1].address, length, 0, token | 1);
      ring.queueRead(fd, room[0].address, ROOM_BYTES, 0, token);
    }
    ring.release(count);
  }
}

async function compare() {
  const requests = process.argv.includes('--quick') ? QUICK_REQUESTS : REQUESTS;
  const servers = await Promise.all(ENGINES.map(start));
  const samples = new Map();
  for (let round = 0; round <= ROUNDS; round++) {
    for (const connections of CONNECTIONS) {
      for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
        const sample = await measure(server, connections, requests);
        const key = `${server.engine} ${connections}`;
        if (round > 0) samples.set(key, [...(samples.get(key) ?? []), sample]);
      }
    }
  }
  for (const { server, client } of servers) {
    client.kill();
    server.kill();
  }
  const { median } = await load('bench/statistics.js');
  const of = (engine, connections, figure, places) =>
    Number(median(samples.get(`${engine} ${connections}`).map((sample) => sample[figure])).toFixed(places));
  const rows = CONNECTIONS.flatMap((connections) =>
    ENGINES.map((name) => ({
      name,
      connections,
      requests_per_s: of(name, connections, 'perSecond', 0),
      p50_us: of(name, connections, 'p50', 1),
      processor_us_per_request: of(name, connections, 'used', 2),
      rate_ratio_to_epoll: Number(
        (of(name, connections, 'perSecond', 0) / of('epoll', connections, 'perSecond', 0)).toFixed(2),
      ),
    })),
  );
  await print(rows);
}

async function start(engine) {
  const server = fork(fileURLToPath(import.meta.url), [engine]);
  const [port] = await once(server, 'message');
  const main = fileURLToPath(new URL('../dist/src/bench/echo-client-main.js', import.meta.url));
  return { engine, server, client: fork(main, [String(port)]) };
}

async function measure({ server, client }, connections, requests) {
  const { processorNanoseconds } = await load('bench/processor-time.js');
  const { summarize } = await load('bench/statistics.js');
  const before = await processorNanoseconds(server.pid);
  client.send({ connections, active: connections, bytes: BYTES, requests });
  const [{ seconds, latency }] = await once(client, 'message');
  const used = (await processorNanoseconds(server.pid)) - before;
  return { perSecond: requests / seconds, used: used / 1000 / requests, p50: summarize(latency).p50 };
}

async function print(rows) {
  if (process.argv.includes('--json')) return console.log(JSON.stringify({ suite: 'socket-engines', rows }));
  const { tableOf } = await load('bench/row-table.js');
  const { formatTable } = await load('bench/table.js');
  const { columns, cells } = tableOf(rows);
  console.log(formatTable(columns, cells));
}
