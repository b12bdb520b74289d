import {
  CompletionQueue,
  type Connection,
  type Listener,
  listen,
  Operation,
  SgxioError,
} from '../../src/enclave.ts';

/**
 * An echo server inside an enclave, twice: `serve` with operations that are used again and again, for speed, and
 * `serveTasks` with a task for each connection, written straight on. Launch `open` first, then one of them.
 */
const BUFFER_BYTES = 2048;
/** Buffers are cut from a few large pieces of memory: their address is asked for once a piece. */
const BUFFERS_A_SLAB = 512;

let listener: Listener | undefined;

/** Listens; says at which port. */
export function open(host: string, port: number): number {
  listener = listen({ host, port }, { backlog: 4096 });
  const address = listener.localAddress();
  return address.family === 'unix' ? 0 : address.port;
}

function opened(): Listener {
  if (listener === undefined) throw new SgxioError('SGXIO_INVALID_ARGUMENT', 'launch open first');
  return listener;
}

/** Echoes on every connection, on this thread, until the enclave is stopped. */
export function serve(): void {
  const queue = new CompletionQueue();
  const buffers = new Buffers();
  const accepting = new Operation(queue);
  const from = opened();
  accepting.accept(from);
  for (let finished = queue.take(); finished !== undefined; finished = queue.take()) {
    if (finished instanceof Exchange) finished.advance();
    else {
      if (finished.result >= 0) new Exchange(queue, buffers, finished.connection()).receiveNext();
      accepting.accept(from);
    }
  }
}

/** Private buffers of {@link BUFFER_BYTES}, last given back first used. */
class Buffers {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];

  take(): Uint8Array<ArrayBuffer> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const slab = new ArrayBuffer(BUFFERS_A_SLAB * BUFFER_BYTES);
    for (let index = BUFFERS_A_SLAB - 1; index > 0; index--) {
      this.#free.push(new Uint8Array(slab, index * BUFFER_BYTES, BUFFER_BYTES));
    }
    return new Uint8Array(slab, 0, BUFFER_BYTES);
  }

  giveBack(buffer: Uint8Array<ArrayBuffer>): void {
    this.#free.push(buffer);
  }
}

/** One connection: what comes is sent back before the next is received. */
class Exchange extends Operation {
  readonly #connection: Connection;
  readonly #buffers: Buffers;
  readonly #buffer: Uint8Array<ArrayBuffer>;
  #received = 0;
  #sent = 0;

  constructor(queue: CompletionQueue, buffers: Buffers, connection: Connection) {
    super(queue);
    this.#connection = connection;
    this.#buffers = buffers;
    this.#buffer = buffers.take();
  }

  receiveNext(): void {
    this.#received = 0;
    this.#sent = 0;
    this.receive(this.#connection, this.#buffer);
  }

  /** Goes on after a receive or a send; ends with the connection. */
  advance(): void {
    const { result } = this;
    if (result < 0 || (result === 0 && this.#received === 0)) return this.#end();
    if (this.#received === 0) this.#received = result;
    else this.#sent += result;
    if (this.#sent === this.#received) this.receiveNext();
    else this.send(this.#connection, this.#buffer, this.#sent, this.#received - this.#sent);
  }

  #end(): void {
    this.#buffers.giveBack(this.#buffer);
    this.#connection.close();
  }
}

/** The same with tasks: resolves when the listener is closed. */
export async function serveTasks(): Promise<void> {
  for (const from = opened(); from.isOpen; ) void echo(await from.acceptAsync());
}

async function echo(connection: Connection): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  try {
    for (let length = await connection.receiveAsync(buffer); length > 0; ) {
      await connection.sendAsync(buffer.subarray(0, length));
      length = await connection.receiveAsync(buffer);
    }
  } catch {
    // The peer has gone: its connection ends here, the others do not notice.
  } finally {
    await connection.closeAsync();
  }
}
