import { bellsOf } from '../boundary/boot.ts';
import { channelLayout } from '../boundary/layout.ts';
import * as services from '../enclave.ts';
import { leave } from './lock-down.ts';
import { RingPort } from './ring-port.ts';
import type { ThreadEnvironment } from './thread.ts';

/** What each thread of a real enclave stands on: calls leave through the rings of its channel. */
export const enclaveEnvironment: ThreadEnvironment = {
  connect: (boundary, calls, _grants, thread) => {
    const { hostBell, enclaveBell } = bellsOf(thread);
    return new RingPort(boundary, channelLayout(thread), hostBell, enclaveBell, calls, calls.counters);
  },
  leave,
  services,
};
