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
