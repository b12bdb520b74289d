import { type Channel, channel } from 'node:diagnostics_channel';

/** What is published on `node:diagnostics_channel` as it happens. The messages are objects; see each channel. */
export const diagnostics: {
  /** `{ enclave, measurement, strategy, pid }`: its process was started. */
  readonly enclaveStart: Channel;
  /** `{ enclave, milliseconds }`: its program waits for launches. */
  readonly enclaveReady: Channel;
  /** `{ enclave, code, signal, reason }`: its process has ended and everything it used is given back. */
  readonly enclaveExit: Channel;
  /** `{ worker, deaths, thread }`: a host worker was started, after so many deaths of it. */
  readonly workerStart: Channel;
  /** `{ worker, thread }`: a host worker has loaded what it needs, and serves. */
  readonly workerReady: Channel;
  /** `{ worker, cause }`: a host worker died. */
  readonly workerDeath: Channel;
  /** `{ worker }`: a host worker ended, as it was told or with nothing left to serve. */
  readonly workerExit: Channel;
} = {
  enclaveStart: channel('sgxio:enclave:start'),
  enclaveReady: channel('sgxio:enclave:ready'),
  enclaveExit: channel('sgxio:enclave:exit'),
  workerStart: channel('sgxio:worker:start'),
  workerReady: channel('sgxio:worker:ready'),
  workerDeath: channel('sgxio:worker:death'),
  workerExit: channel('sgxio:worker:exit'),
};
