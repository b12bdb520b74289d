import {
  CompletionQueue,
  type Connection,
  connect,
  connectAsync,
  type Endpoint,
  type Listener,
  listen,
  listenAsync,
  Operation,
  type SystemError,
} from '../../src/enclave.ts';

export { run, runTogether } from '../support/calls.program.ts';

const listeners = new Map<string, Listener>();

/** Listens, and echoes one connection after the other, until `stopEcho`. Says where it listens. */
export async function startEcho(name: string, endpoint: Endpoint): Promise<unknown> {
  const listener = await listenAsync(endpoint);
  listeners.set(name, listener);
  void serve(listener);
  return { ...(await listener.localAddressAsync()) };
}

export function stopEcho(name: string): void {
  listeners.get(name)?.close();
}

async function serve(listener: Listener): Promise<void> {
  while (listener.isOpen) {
    try {
      void echo(await listener.acceptAsync());
    } catch {
      return;
    }
  }
}

async function echo(connection: Connection): Promise<void> {
  const buffer = new Uint8Array(10_000);
  try {
    for (let length = -1; length !== 0; ) {
      length = await connection.receiveAsync(buffer);
      await connection.sendAsync(buffer.subarray(0, length));
    }
  } finally {
    await connection.closeAsync();
  }
}

/** Sends the parts and receives until the end of the stream. */
export async function exchange(
  endpoint: Endpoint,
  parts: Uint8Array<ArrayBuffer>[],
  asynchronous: boolean,
): Promise<Uint8Array> {
  const received: Uint8Array[] = [];
  const buffers = [new Uint8Array(3), new Uint8Array(1000), new Uint8Array(5)];
  const take = (length: number): void => {
    let left = length;
    for (const buffer of buffers) {
      received.push(buffer.slice(0, left));
      left = Math.max(0, left - buffer.length);
    }
  };
  if (asynchronous) {
    const connection = await connectAsync(endpoint);
    const sending = connection.sendFromAsync(parts).then(() => connection.shutdownAsync());
    for (let length = -1; length !== 0; take(length)) length = await connection.receiveIntoAsync(buffers);
    await sending;
    await connection.closeAsync();
  } else {
    using connection = connect(endpoint);
    connection.sendFrom(parts);
    connection.shutdown();
    for (let length = -1; length !== 0; take(length)) length = connection.receiveInto(buffers);
  }
  return Buffer.concat(received);
}

/** Sends until the peer takes no more within `timeout`; then what another connection does meanwhile. */
export function fillUp(endpoint: Endpoint, other: Endpoint, timeout: number): [string, number] {
  using connection = connect(endpoint);
  const block = new Uint8Array(65_536);
  for (;;) {
    try {
      connection.send(block, { timeout });
    } catch (error) {
      using second = connect(other);
      second.send(Uint8Array.of(1, 2, 3));
      return [(error as SystemError).code, second.receive(block)];
    }
  }
}

/** Each stage of a call at which it can be aborted. */
export async function abortStages(endpoint: Endpoint): Promise<Record<string, string>> {
  const codes: Record<string, string> = {};
  const codeOf = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      (value) => String(value),
      (error: { code: string }) => error.code,
    );
  const connection = await connectAsync(endpoint);
  const buffer = new Uint8Array(100);
  codes['before'] = await codeOf(connection.receiveAsync(buffer, { signal: AbortSignal.abort() }));

  const atOnce = new AbortController();
  const started = codeOf(connection.receiveAsync(buffer, { signal: atOnce.signal }));
  atOnce.abort();
  codes['just started'] = await started;

  const waiting = new AbortController();
  const waits = codeOf(connection.receiveAsync(buffer, { signal: waiting.signal }));
  await codeOf(connection.localAddressAsync());
  waiting.abort();
  codes['waiting'] = await waits;

  const after = new AbortController();
  await connection.sendAsync(Uint8Array.of(1, 2, 3), { signal: after.signal });
  const answer = await codeOf(connection.receiveAsync(buffer, { signal: after.signal }));
  after.abort();
  codes['after the answer'] = answer;
  await connection.closeAsync();
  return codes;
}

/** What is refused at the call. */
export function misuse(port: number): Record<string, string> {
  const codes: Record<string, string> = {};
  const attempt = (name: string, call: () => unknown): void => {
    try {
      call();
      codes[name] = 'nothing thrown';
    } catch (error) {
      codes[name] = (error as { code: string }).code;
    }
  };
  const here = { host: '127.0.0.1', port };
  const connection = connect(here);
  const shared = new Uint8Array(new SharedArrayBuffer(8)) as unknown as Uint8Array<ArrayBuffer>;
  attempt('shared receive', () => connection.receive(shared));
  attempt('shared send', () => connection.send(shared));
  attempt('shared vector', () => connection.sendFrom([shared]));
  attempt('port 65536', () => connect({ host: '127.0.0.1', port: 65_536 }));
  attempt('port 0.5', () => connect({ host: '127.0.0.1', port: 0.5 }));
  attempt('no endpoint', () => connect(undefined as unknown as Endpoint));
  attempt('no timeout', () => connection.receive(new Uint8Array(1), { timeout: Number.NaN }));
  attempt('backlog 0', () => listen(here, { backlog: 0 }));
  attempt('half', () => connection.shutdown('left' as 'both'));
  attempt('keep-alive 0', () => connection.setKeepAlive(true, { delay: 0 }));
  attempt('keep-alive 2^31', () => connection.setKeepAlive(true, { interval: 2 ** 31 }));
  attempt('buffer -1', () => connection.setReceiveBufferSize(-1));
  attempt('buffer 2^53', () => connection.setSendBufferSize(2 ** 53));
  attempt('path with NUL', () => connect({ path: '/run/a\0b' }));
  const operation = new Operation(new CompletionQueue());
  attempt('operation from -1', () => operation.receive(connection, new Uint8Array(8), -1));
  attempt('operation of -1', () => operation.send(connection, new Uint8Array(8), 0, -1));
  attempt('operation of 2^31', () => operation.receive(connection, new Uint8Array(8), 0, 2 ** 31));
  attempt('operation of 2^53', () => operation.send(connection, new Uint8Array(8), 0, 2 ** 53));
  attempt('operation from 2^53', () => operation.send(connection, new Uint8Array(8), 2 ** 53, 0));
  attempt('operation on shared memory', () => operation.receive(connection, shared));
  attempt('empty shared send', () => connection.send(shared.subarray(0, 0)));
  attempt('another host', () => connect({ host: '127.0.0.2', port }));
  attempt('another path', () => connect({ path: '/run/other.sock' }));
  attempt('a listener', () => listen({ host: '0.0.0.0', port: 0 }));
  connection.close();
  connection.close();
  attempt('closed', () => connection.send(Uint8Array.of(1)));
  attempt('closed, nothing sent', () => connection.send(new Uint8Array(0)));
  attempt('closed, an operation', () => operation.receive(connection, new Uint8Array(1)));
  attempt('closed, nothing received', () => connection.receive(new Uint8Array(0)));
  return codes;
}

/** Accepts until the host has no descriptors left; then whether all that stands still echoes, and there is room again. */
export function exhaustDescriptors(): {
  accepting: string;
  connecting: string;
  echoed: boolean;
  again: boolean;
} {
  const listener = listen({ host: '127.0.0.1', port: 0 }, { backlog: 1000 });
  const { port } = listener.localAddress() as { port: number };
  const here = { host: '127.0.0.1', port };
  const near: Connection[] = [];
  const far: Connection[] = [];
  const connecting = codeUntilFailure(() => near.push(connect(here)));
  near.pop()?.close();
  const accepting = codeUntilFailure(() => far.push(listener.accept({ timeout: 1000 })));
  const echoed = far.every((connection, index) => isEchoed(near[index] as Connection, connection));
  near.pop()?.close();
  near.pop()?.close();
  far.push(listener.accept({ timeout: 1000 }));
  const again = isEchoed(near[far.length - 1] as Connection, far.at(-1) as Connection);
  for (const connection of [...near, ...far]) connection.close();
  listener.close();
  return { accepting, connecting, echoed, again };
}

function codeUntilFailure(call: () => unknown): string {
  for (let count = 0; count < 1000; count++) {
    try {
      call();
    } catch (error) {
      return (error as SystemError).code;
    }
  }
  return 'endless';
}

function isEchoed(near: Connection, far: Connection): boolean {
  near.send(Uint8Array.of(1, 2, 3));
  return far.receive(new Uint8Array(10), { timeout: 1000 }) === 3;
}
