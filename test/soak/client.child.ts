import { connect } from 'node:net';
import process from 'node:process';

/** Connections that send and check echoes without end, until this process is killed in the middle of it. */
const [port, connections] = process.argv.slice(2).map(Number) as [number, number];

function converse(): void {
  const socket = connect(port, '127.0.0.1');
  let expected = '';
  let sent = 0;
  const send = (): void => {
    expected = String(sent++).repeat(1 + ((sent * 37) % 1500));
    socket.write(expected);
  };
  let received = '';
  socket.setEncoding('latin1');
  socket.once('connect', send);
  socket.on('data', (text: string) => {
    received += text;
    if (received.length < expected.length) return;
    if (received !== expected) process.send?.('another echo than what was sent');
    received = '';
    send();
  });
  // A worker that dies may take a call with it, and with the call the connection.
  socket.on('error', () => {});
  socket.once('close', () => setTimeout(converse, 5));
}

for (let count = 0; count < connections; count++) converse();
