import { CallKind } from '../boundary/kinds.ts';
import { READY_BYTES, READY_MAX, Readiness } from '../boundary/net.ts';
import type { Calls } from './calls.ts';
import { adoptHandle } from './handles.ts';
import type { Connection } from './net.ts';
import { runtime } from './runtime.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  closeSync,
  Direction,
} from './transfer.ts';

const ALL: number = Readiness.readable | Readiness.writable | Readiness.closed;

interface Watch {
  readonly connection: Connection;
  readonly readiness: number;
}

/** What a {@link Poller} says of one connection. */
export interface Ready {
  readonly connection: Connection;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly closed: boolean;
}

/**
 * Asks about any number of connections in one call. What the host says is a hint: a receive on a connection
 * that it called ready may still have to wait.
 */
export class Poller {
  readonly #handle: number;
  /** What is watched; an entry stays, empty, when the watch ends: an answer on its way may still name it. */
  readonly #watched = new Map<number, Watch | undefined>();
  readonly #view = new Uint8Array(READY_MAX * READY_BYTES);
  readonly #words = new Int32Array(this.#view.buffer);

  constructor() {
    this.#handle = adoptHandle(runtime().calls, callSync({ kind: CallKind.createPoller, handle: 0 }));
  }

  /** Watches a connection from here on, for what is asked; neither ends the watch. */
  watch(connection: Connection, wanted: { readonly readable?: boolean; readonly writable?: boolean }): void {
    const handle = connection.hostHandle;
    let readiness = 0;
    if (wanted.readable === true) readiness |= Readiness.readable;
    if (wanted.writable === true) readiness |= Readiness.writable;
    callSync({ kind: CallKind.watch, handle: this.#handle, a0: handle, a1: readiness });
    this.#watched.set(handle, readiness === 0 ? undefined : { connection, readiness });
  }

  /** Waits until at least one is ready. Late, it fails with ETIMEDOUT; with a timeout of 0 it answers `[]`. */
  poll(options?: CallOptions): Ready[] {
    return this.#read(callSync(this.#polling(), options));
  }

  async pollAsync(options?: AsyncCallOptions): Promise<Ready[]> {
    return this.#read(await callAsync(this.#polling(), options));
  }

  #polling(): Parameters<typeof callSync>[0] {
    return {
      kind: CallKind.poll,
      handle: this.#handle,
      view: this.#view,
      length: this.#view.length,
      direction: Direction.in,
      limit: READY_MAX,
      unit: READY_BYTES,
    };
  }

  /**
   * Each one reported must have been watched, must be named once, and with bits that there are. What was not
   * asked for is left out.
   */
  #read(count: number): Ready[] {
    const calls: Calls = runtime().calls;
    const ready: Ready[] = [];
    const seen = new Set<number>();
    for (let index = 0; index < count; index++) {
      const handle = this.#words[index * 2] as number;
      const readiness = this.#words[index * 2 + 1] as number;
      if (!this.#watched.has(handle) || seen.has(handle))
        calls.violate(`the host called handle ${handle} ready, which was not asked for`);
      if ((readiness & ~ALL) !== 0 || readiness === 0)
        calls.violate(`the host reported the readiness ${readiness}, which is none`);
      seen.add(handle);
      const watch = this.#watched.get(handle);
      const asked = watch === undefined ? 0 : readiness & (watch.readiness | Readiness.closed);
      if (watch === undefined || asked === 0) continue;
      ready.push({
        connection: watch.connection,
        readable: (asked & Readiness.readable) !== 0,
        writable: (asked & Readiness.writable) !== 0,
        closed: (asked & Readiness.closed) !== 0,
      });
    }
    return ready;
  }

  close(): void {
    closeSync(this.#handle);
  }
}
