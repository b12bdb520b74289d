import type { Boot } from './boundary/boot.ts';
import { parseGrants } from './boundary/grants.ts';
import type { ThreadEnvironment } from './enclave/thread.ts';
import * as services from './enclave.ts';
import { loadServices } from './host/custom-services.ts';
import { Executor } from './host/executor.ts';
import { InPlacePort } from './host/in-place-port.ts';
import { openMounts } from './host/mounts.ts';
import { PAGE_BYTES } from './limits.ts';
import { exitNow } from './linux/process.ts';

/**
 * What a program stands on that runs as in an enclave, without being in one: its calls are served in place, on
 * the thread that makes them. It is what the other strategies are measured against, and the one file that
 * imports both rooms.
 */
export async function createDirectEnvironment(boot: Boot): Promise<ThreadEnvironment> {
  const handlers = await loadServices(boot.services, new Int32Array(new SharedArrayBuffer(PAGE_BYTES)));
  return {
    connect: (_boundary, calls, written) => {
      const grants = parseGrants(written);
      const mounts = openMounts(grants.files, boot.directories);
      const executor = new Executor(handlers, grants, 0, Number.MAX_SAFE_INTEGER, calls, mounts);
      return new InPlacePort(executor, boot.exitNanoseconds);
    },
    leave: exitNow,
    services,
  };
}
