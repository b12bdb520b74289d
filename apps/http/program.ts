import { type Connection, type Listener, listen, SgxioError } from '../../src/enclave.ts';
import { keepInMemory } from './content.ts';
import { Session, type SessionOptions } from './session.ts';

/**
 * A static file server inside an enclave: HTTP/1.1 with keep-alive, pipelining, HEAD and ranges. It serves what
 * `put` gave it from memory, and the host's files below the mount that its image was granted, if one was.
 *
 * Launch `open` first, then `serve`.
 */
let listener: Listener | undefined;

/** Serves a copy of `bytes` at `path`. */
export function put(path: string, bytes: Uint8Array<ArrayBuffer>): void {
  keepInMemory(path, bytes);
}

/** Listens; says at which port. */
export function open(host: string, port: number): number {
  listener = listen({ host, port }, { backlog: 4096 });
  const address = listener.localAddress();
  return address.family === 'unix' ? 0 : address.port;
}

/** Serves until the enclave is stopped. */
export async function serve(options: SessionOptions): Promise<void> {
  if (listener === undefined) throw new SgxioError('SGXIO_INVALID_ARGUMENT', 'launch open first');
  while (listener.isOpen) void serveConnection(await listener.acceptAsync(), options);
}

async function serveConnection(connection: Connection, options: SessionOptions): Promise<void> {
  try {
    await new Session(connection, options).run();
  } catch {
    // The client has gone or takes too long: its connection ends here, the others do not notice.
  } finally {
    await connection.closeAsync().catch(() => {});
  }
}
