import process from 'node:process';
import { addToEpoll, createEpoll, EPOLLIN, EventBuffer, waitForEvents } from '../linux/events.ts';
import { check } from '../linux/ffi.ts';
import {
  AF_INET,
  connectSocket,
  createSocket,
  receive,
  SOCK_STREAM,
  SocketAddressBuffer,
  setSocketOption,
  socketError,
  TCP_NODELAY,
  transmit,
} from '../linux/sockets.ts';
import { Structure } from '../linux/structure.ts';

/**
 * The client of the echo measurements: a process of its own, over epoll and plain system calls, because one made
 * of Node's sockets would be slower than the servers that it measures. It obeys the messages of its parent.
 */
export interface EchoWork {
  /** Connections that are opened and kept; those beyond `active` stay idle. */
  readonly connections: number;
  /** Connections with one message on its way each. */
  readonly active: number;
  readonly bytes: number;
  /** What is sent, where the server does more than to echo; `bytes` come back for it. */
  readonly message?: string;
  readonly requests: number;
  /** One round trip of so many is timed; 16 unless told. */
  readonly sampleEvery?: number;
}

export interface EchoReport {
  readonly seconds: number;
  readonly requests: number;
  /** Of sampled round trips, in microseconds. */
  readonly latency: number[];
}

const EVENTS = 256;
const MESSAGE_BYTES_MAX = 65_536;
const SAMPLE_EVERY = 16;
const EAGAIN = 11;
const EINPROGRESS = 115;
/** Connections that are opened at once: fewer than any backlog. */
const OPENING = 100;

class EchoClient {
  readonly #epoll = check(createEpoll(), 'epoll_create1');
  readonly #events = new EventBuffer(EVENTS);
  readonly #descriptors: number[] = [];
  readonly #message = new Structure(MESSAGE_BYTES_MAX);
  readonly #room = new Structure(MESSAGE_BYTES_MAX);
  readonly #address = new SocketAddressBuffer();

  constructor(port: number) {
    this.#address.encode({ family: 'IPv4', address: '127.0.0.1', port });
  }

  /** Opens connections until there are so many. */
  async open({ connections, bytes, message }: EchoWork): Promise<void> {
    const length = this.#prepare(bytes, message);
    while (this.#descriptors.length < connections) {
      const batch = Array.from({ length: Math.min(OPENING, connections - this.#descriptors.length) }, () =>
        this.#connect(),
      );
      for (const descriptor of batch) {
        while (socketError(descriptor) === -EINPROGRESS)
          await new Promise((resolve) => setImmediate(resolve));
        check(addToEpoll(this.#epoll, descriptor, EPOLLIN), 'epoll_ctl');
        this.#descriptors.push(descriptor);
      }
      // One message each: a connection counts when its server has it.
      for (const descriptor of batch) this.#exchange([descriptor], length, bytes, 1, 1);
    }
  }

  #connect(): number {
    const descriptor = check(createSocket(AF_INET, SOCK_STREAM), 'socket');
    setSocketOption(descriptor, TCP_NODELAY, 1);
    const result = connectSocket(descriptor, this.#address);
    if (result < 0 && result !== -EINPROGRESS) throw new Error(`connect failed with ${-result}`);
    return descriptor;
  }

  run({ active, bytes, message, requests, sampleEvery = SAMPLE_EVERY }: EchoWork): EchoReport {
    const length = this.#prepare(bytes, message);
    const stride = Math.max(1, Math.floor(this.#descriptors.length / active));
    const used = Array.from({ length: active }, (_, index) => this.#descriptors[index * stride] as number);
    return this.#exchange(used, length, bytes, requests, sampleEvery);
  }

  /** Lays down what is sent and says how long it is. */
  #prepare(bytes: number, message: string | undefined): number {
    if (message === undefined) return bytes;
    const text = Buffer.from(message, 'latin1');
    this.#message.bytes.set(text);
    return text.length;
  }

  /** Keeps one message on its way on each connection until so many have come back. */
  #exchange(
    descriptors: readonly number[],
    messageBytes: number,
    bytes: number,
    requests: number,
    sampleEvery: number,
  ): EchoReport {
    const from = this.#message.address;
    const to = this.#room.address;
    const left = new Map(descriptors.map((descriptor) => [descriptor, bytes]));
    const sentAt = new Map<number, number>();
    const latency: number[] = [];
    let sent = 0;
    let done = 0;
    const send = (descriptor: number): void => {
      if (sent++ % sampleEvery === 0) sentAt.set(descriptor, performance.now());
      const result = transmit(descriptor, from, messageBytes);
      if (result !== messageBytes) throw new Error(`a send of ${messageBytes} bytes gave ${result}`);
    };
    const began = performance.now();
    for (const descriptor of descriptors.slice(0, requests)) send(descriptor);
    while (done < requests) {
      const count = waitForEvents(this.#epoll, this.#events, -1);
      for (let index = 0; index < count; index++) {
        const descriptor = this.#events.descriptorAt(index);
        const result = receive(descriptor, to, bytes);
        if (result === -EAGAIN) continue;
        if (result <= 0) throw new Error(`a receive gave ${result}`);
        const rest = (left.get(descriptor) as number) - result;
        if (rest > 0) {
          left.set(descriptor, rest);
          continue;
        }
        left.set(descriptor, bytes);
        done++;
        const at = sentAt.get(descriptor);
        if (at !== undefined) {
          latency.push((performance.now() - at) * 1000);
          sentAt.delete(descriptor);
        }
        if (sent < requests) send(descriptor);
      }
    }
    return { seconds: (performance.now() - began) / 1000, requests, latency };
  }
}

/** One message at a time, answered with a report. */
const client = new EchoClient(Number(process.argv[2]));
let last: Promise<void> = Promise.resolve();
process.on('message', (work: EchoWork) => {
  last = last.then(async () => {
    await client.open(work);
    process.send?.(client.run(work));
  });
});
process.once('disconnect', () => process.exit());
