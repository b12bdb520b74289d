/** What a program inside an enclave imports, as `sgxio/enclave`. */
export { TransferSealer } from './boundary/transfer-sealing.ts';
export { type BufferOptions, buffers } from './enclave/buffers.ts';
export { monotonicTime, sleep, sleepAsync, wallTime } from './enclave/clock.ts';
export * as files from './enclave/files.ts';
export { launchable, type StandardSchema } from './enclave/launchable.ts';
export * as memory from './enclave/memory.ts';
export {
  Connection,
  connect,
  connectAsync,
  type Endpoint,
  Listener,
  listen,
} from './enclave/net.ts';
export { CompletionQueue, Operation } from './enclave/operations.ts';
export { Poller, type Ready } from './enclave/poller.ts';
export {
  type AesGcm,
  createPrivateCipher,
  type PrivateRegion,
  sharedRegion,
  takePrivateMemory,
} from './enclave/private-memory.ts';
export { bareExchanges, ping, pingAsync } from './enclave/probe.ts';
export { currentThread, type ThreadPlace } from './enclave/runtime.ts';
export { type Task, tasks } from './enclave/tasks.ts';
export type { AsyncCallOptions, CallOptions } from './enclave/transfer.ts';
export * from './errors.ts';
