import {
  type CompletionQueue,
  type Connection,
  Operation,
  type PrivateRegion,
  takePrivateMemory,
} from '../../src/enclave.ts';
import { KEY_BYTES } from './cipher.ts';
import { PrivateCipher } from './private-cipher.ts';
import { CONNECTION_BUFFER_BYTES } from './protocol.ts';
import { Session } from './session.ts';
import type { Table } from './table.ts';

/** Private memory of one connection: what it received, what it sends, its key. Taken once, used again. */
export interface Room {
  readonly input: PrivateRegion;
  readonly output: PrivateRegion;
  readonly key: PrivateRegion;
}

export function takeRoom(): Room {
  return {
    input: takePrivateMemory(CONNECTION_BUFFER_BYTES),
    output: takePrivateMemory(CONNECTION_BUFFER_BYTES),
    key: takePrivateMemory(KEY_BYTES),
  };
}

/** An operation that knows whose it is and which of the two it is. */
export class PeerOperation extends Operation {
  readonly peer: Peer;
  readonly receives: boolean;

  constructor(queue: CompletionQueue, peer: Peer, receives: boolean) {
    super(queue);
    this.peer = peer;
    this.receives = receives;
  }
}

/** How a peer's connection gets its key: with the peer, from a value both know; or given, for a prepared trace. */
export type PeerKey = { readonly verification: Uint8Array } | { readonly key: Uint8Array };

/**
 * One client of the server. While a request is worked on, the next one is on its way in and the last reply on
 * its way out.
 */
export class Peer {
  readonly room: Room;
  readonly session: Session;
  readonly #connection: Connection;
  readonly #receiving: PeerOperation;
  readonly #sending: PeerOperation;
  #cipher: PrivateCipher | undefined;
  #blocked = false;
  #ended = false;

  constructor(connection: Connection, table: Table, key: PeerKey, room: Room, queue: CompletionQueue) {
    const createCipher = (bytes: Uint8Array): PrivateCipher => {
      this.#cipher = new PrivateCipher(room.key, bytes);
      return this.#cipher;
    };
    const opening =
      'key' in key ? { cipher: createCipher(key.key) } : { verification: key.verification, createCipher };
    this.room = room;
    this.session = new Session(table, opening, room.input.bytes, room.output.bytes);
    this.#connection = connection;
    this.#receiving = new PeerOperation(queue, this, true);
    this.#sending = new PeerOperation(queue, this, false);
    this.#receive();
  }

  #receive(): void {
    const { input } = this.session;
    const room = input.room();
    if (room > 0) this.#receiving.receive(this.#connection, input.bytes, input.end, room);
  }

  /** Goes on after one of the two operations has finished. Throws a `ProtocolError` when the client broke the protocol. */
  advance(operation: PeerOperation): void {
    if (operation.result < 0) throw operation.error();
    if (operation.receives) this.#received(operation.result);
    else this.#sent(operation.result);
  }

  #received(count: number): void {
    if (count === 0) {
      this.#ended = true;
      return;
    }
    this.session.input.received(count);
    this.#receive();
    this.#work();
  }

  #sent(count: number): void {
    this.session.output.sent(count);
    if (this.#blocked) this.#work();
    else this.#send();
  }

  #work(): void {
    this.#blocked = this.session.process();
    this.#send();
    if (!this.#receiving.running && !this.#ended && !this.session.stopped) this.#receive();
  }

  #send(): void {
    const { output } = this.session;
    if (this.#sending.running || output.begin === output.end) return;
    this.#sending.send(this.#connection, output.bytes, output.begin, output.end - output.begin);
  }

  /** Whether nothing more comes from it or goes to it. */
  get isDone(): boolean {
    return (this.#ended || this.session.stopped) && !this.#sending.running;
  }

  /** Closes the connection; what is still running ends with an error that nobody looks at. */
  close(): void {
    this.#ended = true;
    this.#connection.close();
    this.#cipher?.close();
  }

  get isRunning(): boolean {
    return this.#receiving.running || this.#sending.running;
  }
}
