import type { Grants } from '../boundary/grants.ts';
import type { PollingLoop } from '../boundary/polling-loop.ts';
import { SgxioError } from '../errors.ts';
import type { Calls } from './calls.ts';

/** What the services of one enclave thread stand on. */
export interface Runtime {
  readonly calls: Calls;
  readonly loop: PollingLoop;
  readonly grants: Grants;
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Where the boundary begins. */
  readonly boundaryAddress: number;
  readonly thread: ThreadPlace;
}

/** Which thread of its enclave this is, from 0, and how many there are. */
export interface ThreadPlace {
  readonly index: number;
  readonly count: number;
}

let current: Runtime | undefined;

/** Sets what {@link runtime} returns on this thread; once, before the program is loaded. */
export function setRuntime(runtime: Runtime): void {
  current = runtime;
}

export function runtime(): Runtime {
  if (current === undefined) {
    throw new SgxioError(
      'SGXIO_INVALID_ARGUMENT',
      'the services of sgxio/enclave work inside an enclave only: build the program as an image and run it with Enclave.create',
    );
  }
  return current;
}

/** Which thread this code runs on. Each thread evaluates the program for itself: module state is a thread's own. */
export function currentThread(): ThreadPlace {
  return runtime().thread;
}
