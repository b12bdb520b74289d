import { createServer } from 'node:net';
import process from 'node:process';

/** The unprotected server that the echo measurements compare with: what a Node user would write. */
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (chunk) => socket.write(chunk));
  socket.on('error', () => socket.destroy());
});
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  const address = server.address();
  process.send?.(address === null || typeof address === 'string' ? 0 : address.port);
});
process.once('disconnect', () => process.exit());
