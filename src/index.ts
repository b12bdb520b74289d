/** What a host program imports. */
export type { Strategy } from './boundary/boot.ts';
export type { CallCounts, LatencyHistogram } from './boundary/counters.ts';
export * from './errors.ts';
export type { Handlers, ServiceFactory, ServiceModule } from './host/custom-services.ts';
export { Enclave, type EnclaveExit, type EnclaveOptions } from './host/enclave.ts';
export type { Executor, Handler, Pending, Resource } from './host/executor.ts';
export { LaunchError } from './host/launch-channel.ts';
export type { LaunchOptions } from './host/launcher.ts';
export type { LongTask, LongTaskOptions } from './host/long-tasks.ts';
export type { MetricsRegistry } from './host/metrics.ts';
export { Attempt, ByteStream } from './host/socket.ts';
export type { EnclaveStatistics } from './host/statistics.ts';
export type { ArgumentsOf, FunctionName, ResultOf, UntypedProgram } from './host/typed-program.ts';
export { buildImage } from './image/build.ts';
export { readImage, writeImage } from './image/file.ts';
export { decodeImage, encodeImage, type Image } from './image/image.ts';
export type { ManifestInput } from './image/manifest.ts';
