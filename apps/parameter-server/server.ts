import {
  CompletionQueue,
  connect,
  type Listener,
  listen,
  memory,
  Operation,
  type PrivateRegion,
  takePrivateMemory,
} from '../../src/enclave.ts';
import { Peer, type PeerKey, PeerOperation, type Room, takeRoom } from './peer.ts';
import { SecureTable } from './secure-table.ts';
import { ChainingTable, OpenAddressingTable, type Table } from './table.ts';

/**
 * The program of the parameter server: its model, its keys and every opened request lie in private memory. Its
 * functions are launched one after the other: `prepare`, then `open` and `serve`, or `play`.
 */

let region: PrivateRegion | undefined;
let heap: memory.SecureHeap | undefined;
let table: Table | undefined;
let listener: Listener | undefined;
const rooms: Room[] = [];

/**
 * Where a model lies: as one of two kinds of hash table in private memory; in secure memory, when it is larger than
 * private memory; or, to compare with, in memory that nothing protects.
 */
export type ModelKind = 'open-addressing' | 'chaining' | 'secure' | 'unprotected';

/**
 * Makes an empty model of `bytes`. The first call takes the memory for it; for a `secure` one, `privateBytes` of
 * private memory and a store that the image asked for.
 */
export function prepare(bytes: number, kind: ModelKind, privateBytes = 0): void {
  table = kind === 'secure' ? prepareSecure(bytes, privateBytes) : preparePlain(bytes, kind);
}

function preparePlain(bytes: number, kind: Exclude<ModelKind, 'secure'>): Table {
  if (kind === 'unprotected') region ??= { address: 0, bytes: new Uint8Array(bytes) };
  else region ??= takePrivateMemory(bytes);
  const { buffer, byteOffset } = region.bytes;
  return new (kind === 'chaining' ? ChainingTable : OpenAddressingTable)(buffer, byteOffset, bytes);
}

function prepareSecure(bytes: number, privateBytes: number): Table {
  heap ??= memory.createHeap({ privateBytes });
  if (table instanceof SecureTable) heap.free(table.block);
  return new SecureTable(heap, bytes);
}

/** Listens, and says at which port. */
export function open(host: string, port: number): number {
  listener = listen({ host, port });
  const address = listener.localAddress();
  return address.family === 'unix' ? 0 : address.port;
}

/** What came of serving. */
export interface Served {
  readonly requests: number;
  /** Connections that broke the protocol or vanished; each was closed and the others went on. */
  readonly failed: number;
}

/** Serves clients that know `verification` until one of them asks to stop. */
export function serve(verification: Uint8Array): Served {
  if (table === undefined || listener === undefined) throw new Error('prepare and open come before serve');
  const server = new Server(table, { verification });
  const served = server.run(listener);
  listener.close();
  return served;
}

/** What one prepared connection took, from the first request to the last reply, without the checksum. */
export interface Played extends Served {
  /** Requests that were timed, and what they took together. */
  readonly timed: number;
  readonly milliseconds: number;
}

/**
 * Serves one prepared connection whose key is known: a wire that is played from memory, named by `path`. The first
 * `untimed` requests are served before the clock starts.
 */
export function play(path: string, key: Uint8Array, untimed: number): Played {
  if (table === undefined) throw new Error('prepare comes before play');
  const server = new Server(table, { key });
  server.timeAfter(untimed);
  server.add(connect({ path }));
  const served = server.run(undefined);
  const milliseconds = performance.now() - server.began - server.checksumMilliseconds;
  return { ...served, timed: served.requests - server.untimed, milliseconds };
}

/** Reads all that a connection has to say: what the far end of a wire found. */
export function verdict(path: string): string {
  const connection = connect({ path });
  const bytes = new Uint8Array(4096);
  const text = new TextDecoder().decode(bytes.subarray(0, connection.receive(bytes)));
  connection.close();
  return text;
}

class Server {
  readonly #table: Table;
  readonly #key: PeerKey;
  readonly #queue = new CompletionQueue();
  readonly #accepting = new Operation(this.#queue);
  readonly #peers = new Set<Peer>();
  /** Peers whose connection is closed and whose operations have not all come back. */
  readonly #leaving = new Set<Peer>();
  #requests = 0;
  #failed = 0;
  /** Of all connections that have ended. */
  checksumMilliseconds = 0;
  /** When the clock was started, and how many requests had been served by then. */
  began = 0;
  untimed = 0;
  #timeAfter = Number.POSITIVE_INFINITY;

  constructor(model: Table, key: PeerKey) {
    this.#table = model;
    this.#key = key;
  }

  add(connection: ConstructorParameters<typeof Peer>[0]): void {
    const room = rooms.pop() ?? takeRoom();
    this.#peers.add(new Peer(connection, this.#table, this.#key, room, this.#queue));
  }

  /** Serves until a client asks to stop, or until all that were added have ended. */
  run(listening: Listener | undefined): Served {
    let stopped = false;
    if (listening !== undefined) this.#accepting.accept(listening);
    while (!stopped && (listening !== undefined || this.#peers.size > 0)) {
      const operation = this.#queue.take();
      if (operation === undefined) break;
      if (operation instanceof PeerOperation) stopped = this.#advance(operation);
      else this.#accept(operation, listening as Listener);
    }
    for (const peer of this.#peers) this.#end(peer);
    return { requests: this.#requests, failed: this.#failed };
  }

  /** No private memory is left for one more: the newcomer is turned away, those who are there go on. */
  #accept(operation: Operation, listening: Listener): void {
    const connection = operation.connection();
    try {
      connection.setNoDelay();
      this.add(connection);
    } catch {
      this.#failed += 1;
      connection.close();
    }
    this.#accepting.accept(listening);
  }

  /** Whether the client asked to stop. */
  #advance(operation: PeerOperation): boolean {
    const { peer } = operation;
    if (this.#leaving.has(peer)) {
      this.#leave(peer);
      return false;
    }
    try {
      peer.advance(operation);
    } catch {
      this.#failed += 1;
      this.#end(peer);
      return false;
    }
    if (peer.session.requests >= this.#timeAfter) this.#startClock(peer.session.requests);
    if (!peer.isDone) return false;
    this.#end(peer);
    return peer.session.stopped;
  }

  /** Starts the clock when that many requests have been served. */
  timeAfter(requests: number): void {
    this.#timeAfter = requests;
  }

  #startClock(requests: number): void {
    this.#timeAfter = Number.POSITIVE_INFINITY;
    this.untimed = requests;
    this.began = performance.now();
  }

  #end(peer: Peer): void {
    if (!this.#peers.delete(peer)) return;
    this.#requests += peer.session.requests;
    this.checksumMilliseconds += peer.session.checksumMilliseconds;
    peer.close();
    this.#leaving.add(peer);
    this.#leave(peer);
  }

  /** Its memory serves the next one only when nothing of its own is on the way any more. */
  #leave(peer: Peer): void {
    if (peer.isRunning) return;
    this.#leaving.delete(peer);
    peer.room.key.bytes.fill(0);
    rooms.push(peer.room);
  }
}
