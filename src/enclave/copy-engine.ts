import { type Boot, BootDescriptor, bellsOf } from '../boundary/boot.ts';
import { CONTROL, channelLayout, pinnedStart, ThreadState } from '../boundary/layout.ts';
import { PollingLoop } from '../boundary/polling-loop.ts';
import { COPY_SPIN_MICROSECONDS } from '../boundary/waiting.ts';
import { drainEvent, yieldProcessor } from '../linux/events.ts';
import type { SharedMapping } from '../linux/memory.ts';
import { watchDescriptor } from '../linux/watch.ts';
import { createForHost, freeForHost } from './buffers.ts';
import { Copies } from './copies.ts';
import { LaunchServer } from './launches.ts';

/** The thread that moves bulk data beside the computation. It runs nothing of the program. */
export class CopyEngine {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #channel: number;
  readonly #launches: LaunchServer;
  readonly #loop: PollingLoop;
  readonly #copies: Copies;

  constructor(boot: Boot, boundary: SharedMapping, leave: () => never, fail: (error: unknown) => void) {
    const words = new Int32Array(boundary.buffer);
    this.#words = words;
    this.#channel = boot.channels;
    this.#copies = new Copies(boundary, pinnedStart(boot.channels), boot.pinnedBytes);
    const launches = new LaunchServer(boundary, channelLayout(this.#channel), BootDescriptor.outcomeBell);
    const spinMicroseconds = boot.strategy === 'exit' ? 0 : COPY_SPIN_MICROSECONDS;
    const { enclaveBell } = bellsOf(this.#channel);
    this.#launches = launches;
    this.#loop = new PollingLoop({
      poll: () => {
        if (Atomics.load(words, CONTROL.stopRequested >> 2) !== 0) leave();
        return launches.poll();
      },
      awaits: () => true,
      park: () => launches.park(),
      unpark: () => {
        launches.unpark();
        drainEvent(enclaveBell);
      },
      rest: yieldProcessor,
      spinMicroseconds: () => spinMicroseconds,
      record: () => {},
      fail,
    });
    watchDescriptor(enclaveBell, () => this.#loop.wake());
  }

  serve(): void {
    const copies = this.#copies;
    this.#launches.serve(
      [],
      {
        copyPiecesIn: (handle, pieces) => copies.copyIn(handle, pieces),
        copyPiecesOut: (handle, pieces, last) => copies.copyOut(handle, pieces, last),
        createBuffer: (bytes) => createForHost(bytes as number),
        freeBuffer: (handle) => freeForHost(handle as number),
      },
      (isIn, handle, buffer, pinned, bytes) => copies.copyRun(isIn, handle, buffer, pinned, bytes),
    );
    Atomics.store(this.#words, channelLayout(this.#channel).threadState >> 2, ThreadState.serving);
    this.#loop.wake();
  }
}
