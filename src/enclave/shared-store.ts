import { SgxioError } from '../errors.ts';
import { PAGE_BYTES } from '../limits.ts';
import type { UntrustedMemory } from './memory/store.ts';

/** The untrusted memory that the image asked for as a store, and how many of its pages are taken, for all threads. */
export interface SharedStore {
  readonly memory: UntrustedMemory;
  readonly pagesTaken: SharedArrayBuffer;
}

export function createSharedStore(memory: UntrustedMemory): SharedStore {
  return { memory, pagesTaken: new SharedArrayBuffer(4) };
}

let store: SharedStore = createSharedStore({ address: 0, bytes: 0 });

/** Sets the mapping that stores are taken from; once on each thread, before the program is loaded. */
export function setSharedStore(mapping: SharedStore): void {
  store = mapping;
}

/** Takes `bytes` of the store for good, all that is left unless told, and says where they begin. */
export function takeStore(bytes?: number): { start: number; bytes: number } {
  const taken = new Int32Array(store.pagesTaken);
  for (;;) {
    const first = Atomics.load(taken, 0);
    const left = store.memory.bytes / PAGE_BYTES - first;
    const pages = bytes === undefined ? left : Math.ceil(bytes / PAGE_BYTES);
    if (!(pages > 0 && pages <= left)) throw exhausted(left * PAGE_BYTES, bytes ?? PAGE_BYTES);
    if (Atomics.compareExchange(taken, 0, first, first + pages) === first) {
      return { start: first * PAGE_BYTES, bytes: pages * PAGE_BYTES };
    }
  }
}

export function storeAt(start: number, bytes: number): UntrustedMemory {
  return { address: store.memory.address + start, bytes };
}

function exhausted(left: number, wanted: number): SgxioError {
  return new SgxioError(
    'SGXIO_MEMORY_EXHAUSTED',
    `${left} bytes of the store are left, too few for ${wanted}: ask for more with storeBytes in the image`,
  );
}
