/** What a host program imports. */
export type { Strategy } from './boundary/boot.ts';
export type { CallCounts, LatencyHistogram } from './boundary/counters.ts';
export * from './errors.ts';
export type { Handlers, ServiceFactory, ServiceModule } from './host/custom-services.ts';
export { Enclave, type EnclaveExit, type EnclaveOptions } from './host/enclave.ts';
export { LaunchError } from './host/launcher.ts';
export type { MetricsRegistry } from './host/metrics.ts';
export type { EnclaveStatistics } from './host/statistics.ts';
export { buildImage } from './image/build.ts';
export { readImage, writeImage } from './image/file.ts';
export { decodeImage, encodeImage, type Image } from './image/image.ts';
export type { ManifestInput } from './image/manifest.ts';
