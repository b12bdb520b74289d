/** How the host starts an enclave's process: the one argument on its command line, as JSON. */
export interface Boot {
  readonly channels: number;
  /** Bytes of pinned memory behind the channels; with any there is a copy engine, on one more channel. */
  readonly pinnedBytes: number;
  /** The host's process: with it the enclave ends. */
  readonly host: number;
  /** SHA-256 of the image, in hexadecimal: what the enclave must find. */
  readonly measurement: string;
  /** How calls are made. */
  readonly strategy: Strategy;
  /** What `exit-sgx` charges for each call, in nanoseconds. */
  readonly exitNanoseconds: number;
  /** The host's directory for each grant of files, for the strategies that serve calls in the same process. */
  readonly directories: readonly string[];
  /** Whether a secret for protected mounts lies behind the image. */
  readonly hasFileSecret?: boolean;
  /** Who serves calls in place of sgxio, for the strategies that serve them in the same process. */
  readonly services: { readonly module: string; readonly data?: unknown } | undefined;
}

/**
 * - `exitless`: through the rings, without stopping.
 * - `exit`: through the rings, but the enclave stops for every call and the host is woken for it.
 * - `direct`: in place, without an enclave.
 * - `exit-sgx`: `direct`, each call charged with what an exit costs on SGX.
 */
export const strategies = ['exitless', 'exit', 'direct', 'exit-sgx'] as const;
export type Strategy = (typeof strategies)[number];

/** The descriptors that an enclave's process starts with. */
export const BootDescriptor = { boundary: 3, outcomeBell: 4 } as const;
const FIRST_BELL = 5;

/** The two descriptors of one channel: the first wakes its host worker, the second its enclave thread. */
export function bellsOf(channel: number): { hostBell: number; enclaveBell: number } {
  return { hostBell: FIRST_BELL + 2 * channel, enclaveBell: FIRST_BELL + 2 * channel + 1 };
}

/** The descriptor behind those of the channels: the untrusted store, where the image asks for one. */
export function storeDescriptor(channels: number): number {
  return bellsOf(channels).hostBell;
}
