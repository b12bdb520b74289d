/** What a program inside an enclave imports, as `sgxio/enclave`. */
export type { SharedWords } from './boundary/shared-words.ts';
export { TransferSealer } from './boundary/transfer-sealing.ts';
export { type BufferOptions, buffers } from './enclave/buffers.ts';
export { monotonicTime, sleep, sleepAsync, wallTime } from './enclave/clock.ts';
export {
  type BindOptions,
  bindDatagram,
  bindDatagramAsync,
  DatagramSocket,
  openDatagram,
  openDatagramAsync,
  type Received,
} from './enclave/datagram.ts';
export * as files from './enclave/files.ts';
export { launchable, type StandardSchema } from './enclave/launchable.ts';
export * as memory from './enclave/memory.ts';
export * as names from './enclave/names.ts';
export {
  Connection,
  connect,
  connectAsync,
  type Endpoint,
  type Half,
  type KeepAliveOptions,
  Listener,
  type ListenOptions,
  listen,
  listenAsync,
} from './enclave/net.ts';
export { CompletionQueue, Operation } from './enclave/operations.ts';
export { type PinnedPlace, pinned } from './enclave/pinned.ts';
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
export * as streams from './enclave/streams.ts';
export { type Task, tasks } from './enclave/tasks.ts';
export type { AsyncCallOptions, CallOptions } from './enclave/transfer.ts';
export * from './errors.ts';
