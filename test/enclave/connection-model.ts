import assert from 'node:assert/strict';
import type { Outcome, Step } from '../support/calls.program.ts';

/** What a connection does, said without a kernel: queues of bytes between two ends. */
export type Operation =
  | { readonly kind: 'listen' | 'closeListener' | 'connect' | 'accept'; readonly listener: number }
  | { readonly kind: 'send'; readonly end: number; readonly bytes: Uint8Array }
  | { readonly kind: 'receive'; readonly end: number; readonly room: number }
  | { readonly kind: 'shutdown'; readonly end: number; readonly half: 'sending' | 'receiving' | 'both' }
  | { readonly kind: 'option'; readonly end: number; readonly call: string; readonly value: unknown }
  | { readonly kind: 'peerAddress' | 'reset' | 'close'; readonly end: number };

/** One step of an operation, and what makes of its outcome what the model has; it throws when it cannot. */
export interface Expected {
  readonly step: Step;
  readonly judge: (outcome: Outcome) => void;
}

export type Transport = 'tcp' | 'unix';

interface End {
  readonly name: string;
  open: boolean;
  /** Sent by the peer and not yet received. */
  queue: Uint8Array;
  sendingEnded: boolean;
  receivingEnded: boolean;
  resets: boolean;
  /** The peer is gone in disorder, or is told so soon: from here on several errors are right, and silence too. */
  broken: boolean;
  peer: End;
}

interface ModelListener {
  readonly name: string;
  endpoint: object | undefined;
  readonly waiting: End[];
}

const LONG = 60_000;
/** Beyond that a send might have to wait for the peer. */
const QUEUE_BYTES_MAX = 30_000;
const GONE = ['EPIPE', 'ECONNRESET'];

export class ConnectionModel {
  readonly ends: End[] = [];
  readonly #transport: Transport;
  readonly #listeners: readonly ModelListener[];
  readonly #where: (listener: number) => object;
  #named = 0;

  /** `where` is what a listener of that number is asked to listen at. */
  constructor(transport: Transport, where: (listener: number) => object) {
    this.#transport = transport;
    this.#where = where;
    this.#listeners = [0, 1].map((index) => ({
      name: `listener ${index}`,
      endpoint: undefined,
      waiting: [],
    }));
  }

  /** The steps of an operation; none where there is nothing to do it on. */
  expect(operation: Operation): readonly Expected[] {
    if ('listener' in operation) return this.#onListener(operation.kind, operation.listener);
    const end = this.ends[operation.end % Math.max(1, this.ends.length)];
    if (end === undefined) return [];
    if (operation.kind === 'close') return [this.#close(end)];
    if (!end.open) return [refused(this.#stepOf(operation, end))];
    switch (operation.kind) {
      case 'send':
        return this.#send(end, operation.bytes);
      case 'receive':
        return [this.#receive(end, operation.room)];
      case 'shutdown':
        return [this.#shutdown(end, operation.half)];
      case 'reset':
        return [
          expected(this.#stepOf(operation, end), ['ok'], () => (end.resets = this.#transport === 'tcp')),
        ];
      case 'option':
        return [
          expected(
            this.#stepOf(operation, end),
            this.#transport === 'tcp' ? ['ok'] : ['ok', 'ENOTSUP', 'ENOPROTOOPT'],
          ),
        ];
      default:
        return [expected(this.#stepOf(operation, end), isOver(end) ? ['ok', 'ENOTCONN'] : ['ok'])];
    }
  }

  /** Closes all that is open. */
  finish(): readonly Expected[] {
    const listeners = this.#listeners.map((_, index) => this.#onListener('closeListener', index));
    return [...listeners.flat(), ...this.ends.map((end) => this.#close(end))];
  }

  #stepOf(operation: Operation & { end: number }, { name: on }: End): Step {
    switch (operation.kind) {
      case 'send':
        return { on, call: 'send', values: [operation.bytes] };
      case 'receive':
        return { on, call: 'receive', values: [operation.room, { timeout: LONG }] };
      case 'shutdown':
        return { on, call: 'shutdown', values: [operation.half] };
      case 'option':
        return { on, call: operation.call, values: [operation.value] };
      case 'reset':
        return { on, call: 'setResetOnClose', values: [] };
      default:
        return { on, call: operation.kind };
    }
  }

  #onListener(kind: string, index: number): readonly Expected[] {
    const listener = this.#listeners[index] as ModelListener;
    switch (kind) {
      case 'listen':
        return this.#listen(listener, index);
      case 'connect':
        return listener.endpoint === undefined ? [] : [this.#connect(listener, listener.endpoint)];
      case 'accept':
        return listener.endpoint === undefined ? [] : [this.#accept(listener)];
      default:
        return listener.endpoint === undefined ? [] : this.#closeListener(listener, listener.endpoint);
    }
  }

  #listen(listener: ModelListener, index: number): readonly Expected[] {
    const { name, endpoint } = listener;
    if (endpoint !== undefined) {
      return [expected({ call: 'listen', values: [endpoint] }, ['EADDRINUSE'])];
    }
    const where = this.#where(index);
    return [
      expected({ call: 'listen', values: [where], as: name }, ['ok']),
      expected({ on: name, call: 'localAddress' }, ['ok'], ({ value }) => {
        const { port } = value as { port?: number };
        listener.endpoint = port === undefined ? where : { ...where, port };
      }),
    ];
  }

  #closeListener(listener: ModelListener, endpoint: object): readonly Expected[] {
    return [
      expected({ on: listener.name, call: 'close' }, ['ok'], () => {
        listener.endpoint = undefined;
        for (const end of listener.waiting.splice(0)) disturb(end);
      }),
      refused({ on: listener.name, call: 'accept' }),
      expected({ call: 'connect', values: [endpoint] }, ['ECONNREFUSED', 'ENOENT']),
    ];
  }

  #connect(listener: ModelListener, endpoint: object): Expected {
    const [near, far] = pair(`end ${this.#named++}`, `end ${this.#named++}`);
    return expected({ call: 'connect', values: [endpoint, { timeout: LONG }], as: near.name }, ['ok'], () => {
      this.ends.push(near);
      listener.waiting.push(far);
    });
  }

  #accept(listener: ModelListener): Expected {
    const [end] = listener.waiting;
    const call = { on: listener.name, call: 'accept' };
    if (end === undefined) return expected({ ...call, values: [{ timeout: 0 }] }, ['ETIMEDOUT']);
    return expected({ ...call, values: [{ timeout: LONG }], as: end.name }, ['ok'], () => {
      listener.waiting.shift();
      this.ends.push(end);
    });
  }

  #send(end: End, bytes: Uint8Array): readonly Expected[] {
    const { peer } = end;
    if (peer.queue.length + bytes.length > QUEUE_BYTES_MAX) return [];
    const step: Step = { on: end.name, call: 'send', values: [bytes] };
    if (bytes.length === 0) return [expected(step, ['ok'])];
    if (end.sendingEnded) return [expected(step, GONE)];
    if (end.broken || !peer.open) return [expected(step, ['ok', ...GONE], () => disturb(end))];
    if (peer.receivingEnded && this.#transport === 'unix') return [expected(step, ['EPIPE'])];
    if (isShut(peer)) {
      return [expected(step, ['ok', ...GONE], () => disturb(end))];
    }
    return [
      expected(step, ['ok'], () => {
        peer.queue = Buffer.concat([peer.queue, bytes]);
      }),
    ];
  }

  #receive(end: End, room: number): Expected {
    const { queue, peer, broken, name: on } = end;
    const silent = queue.length === 0 && !ends(end);
    const timeout = broken ? 20 : silent ? 0 : LONG;
    const step: Step = { on, call: 'receive', values: [room, { timeout }] };
    if (room === 0) return expected(step, ['ok'], (outcome) => assert.equal(bytesOf(outcome).length, 0));
    if (silent && !broken) return expected(step, ['ETIMEDOUT']);
    return expected(step, broken ? ['ok', 'ETIMEDOUT', ...GONE] : ['ok'], (outcome) => {
      if (outcome.error !== undefined) return;
      const bytes = bytesOf(outcome);
      const mayBeEmpty = queue.length === 0 || broken || end.receivingEnded;
      assert.ok(bytes.length > 0 || mayBeEmpty, `nothing of ${queue.length} bytes from ${peer.name}`);
      assert.ok(bytes.length <= Math.min(room, queue.length), `${bytes.length} bytes of ${queue.length}`);
      assert.deepEqual(bytes, new Uint8Array(queue.subarray(0, bytes.length)));
      end.queue = queue.subarray(bytes.length);
    });
  }

  #shutdown(end: End, half: 'sending' | 'receiving' | 'both'): Expected {
    const step: Step = { on: end.name, call: 'shutdown', values: [half] };
    return expected(step, isOver(end) ? ['ok', 'ENOTCONN'] : ['ok'], () => {
      if (half !== 'receiving') end.sendingEnded = true;
      if (half !== 'sending') end.receivingEnded = true;
      // What it did not receive may still be on its way, and finds nobody who sends or receives.
      if (this.#transport === 'tcp' && isShut(end) && end.queue.length > 0) disturb(end);
    });
  }

  #close(end: End): Expected {
    return expected({ on: end.name, call: 'close' }, ['ok'], () => {
      if (!end.open) return;
      end.open = false;
      if (end.queue.length > 0 || end.resets || end.broken) disturb(end.peer);
    });
  }
}

function pair(first: string, second: string): [End, End] {
  const make = (name: string): End => ({
    name,
    open: true,
    queue: new Uint8Array(0),
    sendingEnded: false,
    receivingEnded: false,
    resets: false,
    broken: false,
    peer: undefined as unknown as End,
  });
  const [near, far] = [make(first), make(second)];
  near.peer = far;
  far.peer = near;
  return [near, far];
}

/** A connection that is reset is so at both ends. */
function disturb(end: End): void {
  end.broken = true;
  end.peer.broken = true;
}

function isShut({ sendingEnded, receivingEnded }: End): boolean {
  return sendingEnded && receivingEnded;
}

/** Whether a receive on an empty queue is the end of the stream. */
function ends({ peer, receivingEnded }: End): boolean {
  return receivingEnded || peer.sendingEnded || !peer.open;
}

/** Whether the kernel may have let go of the connection. */
function isOver({ peer, sendingEnded, broken }: End): boolean {
  return broken || !peer.open || (sendingEnded && peer.sendingEnded);
}

function refused(step: Step): Expected {
  return expected(step, ['SGXIO_CLOSED']);
}

/** `allowed` are codes of errors, and `ok`; `then` sees an outcome that is allowed. */
export function expected(
  step: Step,
  allowed: readonly string[],
  then: (outcome: Outcome) => unknown = () => {},
): Expected {
  return {
    step,
    judge: (outcome) => {
      const code = String(outcome.error?.['code'] ?? 'ok');
      assert.ok(
        allowed.includes(code),
        `${step.on ?? ''} ${step.call}: ${code} instead of ${allowed.join(', ')}`,
      );
      then(outcome);
    },
  };
}

function bytesOf({ value }: Outcome): Uint8Array {
  return value as Uint8Array;
}
