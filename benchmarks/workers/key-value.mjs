/** The key-value server as a process of Node, unprotected. */
import { createServer } from 'node:net';
import process from 'node:process';
import { KeyValueStore } from '../programs/key-value-store.mjs';

const store = new KeyValueStore();
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (chunk) => socket.write(store.answer(chunk, chunk.length)));
  socket.on('error', () => socket.destroy());
});
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => process.send(server.address().port));
process.once('disconnect', () => process.exit());
