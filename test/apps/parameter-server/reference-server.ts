import { createServer, type Socket } from 'node:net';
import { NodeCipher } from '../../../apps/parameter-server/cipher.ts';
import { CONNECTION_BUFFER_BYTES } from '../../../apps/parameter-server/protocol.ts';
import { Session } from '../../../apps/parameter-server/session.ts';
import type { Table } from '../../../apps/parameter-server/table.ts';

export interface ReferenceServer extends AsyncDisposable {
  readonly port: number;
  /** Settles when a client asked the server to stop. */
  readonly stopped: Promise<void>;
}

/** A parameter server on the sockets of Node itself. A connection that breaks the protocol is closed. */
export async function startReferenceServer(table: Table, verification: Uint8Array): Promise<ReferenceServer> {
  const { promise: stopped, resolve: stop } = promiseWithResolvers();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, table, verification, stop);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  return { port, stopped, [Symbol.asyncDispose]: close };
}

function serve(socket: Socket, table: Table, verification: Uint8Array, stop: () => void): void {
  const opening = { verification, createCipher: (key: Uint8Array) => new NodeCipher(key) };
  const buffer = () => new Uint8Array(CONNECTION_BUFFER_BYTES);
  const session = new Session(table, opening, buffer(), buffer());
  socket.on('data', (chunk) => {
    try {
      for (let offset = 0; offset < chunk.length; ) {
        const count = Math.min(session.input.room(), chunk.length - offset);
        session.input.bytes.set(chunk.subarray(offset, offset + count), session.input.end);
        session.input.received(count);
        offset += count;
        answer(socket, session);
      }
    } catch {
      socket.destroy();
    }
    if (session.stopped) stop();
  });
}

function answer(socket: Socket, session: Session): void {
  const { output } = session;
  for (let blocked = true; blocked; ) {
    blocked = session.process();
    socket.write(output.bytes.slice(output.begin, output.end));
    output.sent(output.end - output.begin);
  }
}

function promiseWithResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
