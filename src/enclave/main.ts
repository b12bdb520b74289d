import process from 'node:process';
import { type Boot, bellsOf } from '../boundary/boot.ts';
import { channelLayout } from '../boundary/layout.ts';
import * as services from '../enclave.ts';
import { leave, lockDown } from './lock-down.ts';
import { RingPort } from './ring-port.ts';
import { start } from './start.ts';

/** The process of an enclave. Its one argument says how it was started; the program's own input is in the image. */
start(JSON.parse(process.argv[2] as string) as Boot, {
  connect: (boundary, calls) => {
    const { hostBell, enclaveBell } = bellsOf(0);
    return new RingPort(boundary, channelLayout(0), hostBell, enclaveBell, calls, calls.counters);
  },
  lockDown: (keep) => lockDown({ keep }),
  leave,
  services,
});
