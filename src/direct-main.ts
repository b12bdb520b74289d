import process from 'node:process';
import type { Boot } from './boundary/boot.ts';
import { parseGrants } from './boundary/grants.ts';
import { start } from './enclave/start.ts';
import * as services from './enclave.ts';
import { loadServices } from './host/custom-services.ts';
import { Executor } from './host/executor.ts';
import { InPlacePort } from './host/in-place-port.ts';
import { openMounts } from './host/mounts.ts';
import { PAGE_BYTES } from './limits.ts';
import { exitNow } from './linux/process.ts';

/**
 * A process that runs a program as an enclave would, without being one: its calls are served in place. It is
 * what the other strategies are measured against, and the one file that imports both rooms.
 */
const boot = JSON.parse(process.argv[2] as string) as Boot;

const handlers = await loadServices(boot.services, new Int32Array(new SharedArrayBuffer(PAGE_BYTES)));

start(boot, {
  connect: (_boundary, calls, image) => {
    const grants = parseGrants(image.manifest.grants);
    const mounts = openMounts(grants.files, boot.directories);
    const executor = new Executor(handlers, grants, 0, Number.MAX_SAFE_INTEGER, calls, mounts);
    return new InPlacePort(executor, boot.exitNanoseconds);
  },
  lockDown: () => {},
  leave: exitNow,
  services,
});
