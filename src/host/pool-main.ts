import { constants } from 'node:os';
import { workerData } from 'node:worker_threads';
import { signalEvent } from '../linux/events.ts';
import { perform } from './blocking.ts';
import { BlockingQueue } from './blocking-queue.ts';

/** The thread that blocks in the place of a worker. */
export interface PoolThreadData {
  readonly memory: SharedArrayBuffer;
  /** Rung after every call. */
  readonly bell: number;
}

const { memory, bell } = workerData as PoolThreadData;
const queue = new BlockingQueue(memory);
queue.started();
do {
  for (let slot = queue.take(); slot >= 0; slot = queue.take()) {
    queue.finish(slot, performSafely(slot));
    signalEvent(bell);
  }
} while (queue.sleep());
// The worker hears of the end in its event loop, which turns when it is rung.
signalEvent(bell);

/** A call that cannot even be made is an error of that call alone. */
function performSafely(slot: number): number {
  try {
    return perform(queue.call(slot), queue.buffer(slot));
  } catch {
    return -constants.errno.EIO;
  }
}
