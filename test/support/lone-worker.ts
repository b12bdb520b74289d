import { Worker } from 'node:worker_threads';
import type { Grants } from '../../src/boundary/grants.ts';
import { Journal } from '../../src/host/journal.ts';
import { spinnersBuffer } from '../../src/host/spinners.ts';
import { createUringMemory } from '../../src/host/uring-calls.ts';
import { WorkerControl } from '../../src/host/worker-control.ts';
import type { WorkerData } from '../../src/host/worker-main.ts';
import { createEpollOf } from '../../src/host/workers.ts';
import { closeDescriptor, createEvent, signalEvent } from '../../src/linux/events.ts';
import { check } from '../../src/linux/ffi.ts';

const WORKER = new URL('../../src/host/worker-main.js', import.meta.url);

/** A real host worker that serves channel 0 of a boundary, and that nobody replaces when it dies. */
export class LoneWorker {
  readonly #thread: Worker;
  readonly #control = new WorkerControl(1);
  readonly #bell: number = check(createEvent(), 'eventfd');
  readonly #epoll: number = createEpollOf(this.#bell);
  readonly #hostBell: number;
  readonly #ended: Promise<unknown>;

  constructor(buffer: SharedArrayBuffer, hostBell: number, enclaveBell: number, grants: Grants) {
    this.#hostBell = hostBell;
    const journal = new Journal().buffer;
    const workerData: WorkerData = {
      buffer,
      worker: 0,
      channels: [{ channel: 0, hostBell, enclaveBell, journal, uringMemory: createUringMemory() }],
      control: this.#control.buffer,
      bells: [this.#bell],
      epoll: this.#epoll,
      spinners: spinnersBuffer(),
      spinnerSlot: 0,
      grants,
      engine: 'direct',
      spins: true,
      services: undefined,
      directories: [],
    };
    this.#thread = new Worker(WORKER, { workerData });
    this.#thread.unref();
    this.#ended = new Promise((resolve) => this.#thread.once('exit', resolve));
  }

  /** Ends it in the middle of whatever it does. */
  async terminate(): Promise<void> {
    void this.#thread.terminate();
    // A thread that sleeps in the kernel ends only when it comes back.
    signalEvent(this.#hostBell);
    await this.#close();
  }

  /** Tells it to end, and waits until it has. */
  async end(): Promise<void> {
    this.#control.stop();
    signalEvent(this.#hostBell);
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#thread.ref();
    await this.#ended;
    for (const descriptor of [this.#bell, this.#epoll]) closeDescriptor(descriptor);
  }
}
