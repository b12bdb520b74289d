import process from 'node:process';
import type { Boot } from '../boundary/boot.ts';
import { enclaveEnvironment } from './environment.ts';
import { lockDown } from './lock-down.ts';
import { start } from './start.ts';

/** The process of an enclave. Its one argument says how it was started; the program's own input is in the image. */
await start(JSON.parse(process.argv[2] as string) as Boot, {
  ...enclaveEnvironment,
  threadProgram: new URL('./thread-main.js', import.meta.url),
  lockDown: (keep) => lockDown({ keep }),
});
