import process from 'node:process';
import type { Boot } from './boundary/boot.ts';
import { createDirectEnvironment } from './direct-environment.ts';
import { start } from './enclave/start.ts';

/** A process that runs a program as an enclave would, without being one. */
const boot = JSON.parse(process.argv[2] as string) as Boot;

await start(boot, {
  ...(await createDirectEnvironment(boot)),
  threadProgram: new URL('./direct-thread-main.js', import.meta.url),
  lockDown: () => {},
});
