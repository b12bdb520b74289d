/** The key-value server as an enclave program: keys and values are kept in private memory. */
import { CompletionQueue, listen, Operation } from '../../dist/src/enclave.js';
import { KeyValueStore } from './key-value-store.mjs';

const BUFFER_BYTES = 16_384;
const BACKLOG = 4096;

const store = new KeyValueStore();
let listener;

/** Listens; says at which port. */
export function open(host, port) {
  listener = listen({ host, port }, { backlog: BACKLOG });
  return listener.localAddress().port;
}

/** Serves every connection on this thread until the enclave is stopped. */
export function serve() {
  const queue = new CompletionQueue();
  const accepting = new Operation(queue);
  accepting.accept(listener);
  for (let finished = queue.take(); finished !== undefined; finished = queue.take()) {
    if (finished instanceof Session) finished.advance();
    else {
      if (finished.result >= 0) new Session(queue, finished.connection()).receiveNext();
      accepting.accept(listener);
    }
  }
}

/** One connection: a request is answered before the next is received. */
class Session extends Operation {
  #connection;
  #room = new Uint8Array(BUFFER_BYTES);
  #answer = new Uint8Array(BUFFER_BYTES);
  #length = 0;
  #sent = 0;

  constructor(queue, connection) {
    super(queue);
    this.#connection = connection;
  }

  receiveNext() {
    this.#length = 0;
    this.receive(this.#connection, this.#room);
  }

  advance() {
    const { result } = this;
    if (result < 0 || (result === 0 && this.#length === 0)) return this.#connection.close();
    if (this.#length === 0) {
      const answer = store.answer(this.#room, result);
      this.#answer.set(answer);
      this.#length = answer.length;
      this.#sent = 0;
    } else this.#sent += result;
    if (this.#sent === this.#length) this.receiveNext();
    else this.send(this.#connection, this.#answer, this.#sent, this.#length - this.#sent);
  }
}
