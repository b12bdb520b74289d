import {
  CompletionQueue,
  type Connection,
  type Endpoint,
  type Listener,
  listen,
  Operation,
  ping,
  pingAsync,
} from '../../src/enclave.ts';

/** What the tests of the host launch inside: calls that do nothing, and an echo server of tasks. */
export function pings(count: number): void {
  for (let index = 0; index < count; index++) ping();
}

export async function pingsAsync(count: number, atOnce: number): Promise<number> {
  let failed = 0;
  for (let done = 0; done < count; done += atOnce) {
    const results = await Promise.allSettled(Array.from({ length: atOnce }, () => pingAsync()));
    failed += results.filter(({ status }) => status === 'rejected').length;
  }
  return failed;
}

let listener: Listener | undefined;
let refused = 0;

/** Echoes on every connection until it ends; says at which port. */
export function serve(): number {
  return serveAt({ host: '127.0.0.1', port: 0 });
}

export function serveAt(endpoint: Endpoint): number {
  listener = listen(endpoint);
  void acceptAll(listener);
  const address = listener.localAddress();
  return address.family === 'unix' ? 0 : address.port;
}

/** How many accepts failed so far, for a reason other than the end. */
export function failedAccepts(): number {
  return refused;
}

export async function endServing(): Promise<void> {
  const ended = listener;
  listener = undefined;
  await ended?.closeAsync();
}

async function acceptAll(from: Listener): Promise<void> {
  while (listener === from) {
    try {
      void echo(await from.acceptAsync());
    } catch {
      refused++;
    }
  }
}

async function echo(connection: Connection): Promise<void> {
  const buffer = new Uint8Array(4096);
  try {
    for (let length = -1; length !== 0; ) {
      length = await connection.receiveAsync(buffer);
      if (length > 0) await connection.sendAsync(buffer.subarray(0, length));
    }
  } catch {
    // The peer, or a worker, ended in the middle of it.
  }
  await connection.closeAsync().catch(() => {});
}

/** Starts operations until there is no room for one more; then ends them and says why it stopped. */
export function exhaust(): unknown {
  const own = listen({ host: '127.0.0.1', port: 0 });
  const queue = new CompletionQueue();
  try {
    for (;;) new Operation(queue).accept(own);
  } catch (error) {
    return (error as { code?: unknown }).code;
  } finally {
    own.close();
    while (queue.take() !== undefined);
  }
}

/** Waits so many milliseconds for a connection that nobody makes; says how that failed. */
export async function acceptLate(timeout: number): Promise<unknown> {
  const own = listen({ host: '127.0.0.1', port: 0 });
  try {
    await own.acceptAsync({ timeout });
    return undefined;
  } catch (error) {
    return (error as { code?: unknown }).code;
  } finally {
    await own.closeAsync();
  }
}
