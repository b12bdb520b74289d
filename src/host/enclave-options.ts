import process from 'node:process';
import { type Boot, type Strategy, strategies } from '../boundary/boot.ts';
import { type Grants, parseGrants } from '../boundary/grants.ts';
import { InvalidArgumentError } from '../errors.ts';
import { encodeImage, type Image } from '../image/image.ts';
import {
  COPY_CHUNK_BYTES,
  FILE_SECRET_BYTES,
  IMAGE_BYTES_MAX,
  PINNED_BYTES_MAX,
  WASM_PAGE_BYTES,
} from '../limits.ts';
import type { CallTrace } from './call-trace.ts';
import type { ServiceModule } from './custom-services.ts';
import { checkEngine, type Engine } from './engine.ts';
import type { LongTaskOptions } from './long-tasks.ts';
import { directoriesOf } from './mounts.ts';
import { checkWorkers } from './workers.ts';

const PINNED_BYTES_MIN: number = 2 * COPY_CHUNK_BYTES;

/** How an enclave is created. */
export interface EnclaveOptions {
  /** How its calls are made; `exitless` unless told. */
  readonly strategy?: Strategy;
  /**
   * How its workers make calls that wait for a disk: by `direct` system calls, from threads of their own, or reads
   * and writes by io_uring (`uring`). `auto`, unless told, is io_uring where the kernel allows it. It concerns no strategy in place.
   */
  readonly engine?: Engine;
  /**
   * How many threads serve its calls at most: half of the cores unless told, never more than the enclave has threads.
   * There is one at first; more come and go with the load. It concerns no strategy in place.
   */
  readonly workers?: number;
  /** What `exit-sgx` charges for each call, in nanoseconds. */
  readonly exitNanoseconds?: number;
  /** The host's directory for each mount that the image is granted: `{ '/data': '/srv/data' }`. */
  readonly directories?: Readonly<Record<string, string>>;
  /**
   * 32 bytes that the keys of protected mounts are derived from. The host that gives them can read the mounts: keep
   * them where only the one who starts the enclave has access.
   */
  readonly fileSecret?: Uint8Array;
  /** Serves some kinds of calls in a way of the user's own. */
  readonly services?: ServiceModule;
  /** Writes down every call that its workers serve. */
  readonly trace?: CallTrace;
  /** How long it may take to start, in milliseconds. */
  readonly startTimeout?: number;
  /** Reports tasks that compute for too long without a pause; nothing watches for them unless told. */
  readonly longTasks?: LongTaskOptions;
  /**
   * Bytes of the boundary for copies between the host's memory and private buffers, with a thread of the enclave
   * that makes them. There are no copies unless told. Each MiB of it that is not touched costs nothing; 2 MiB of
   * it serve copies of memory that is not pinned.
   */
  readonly pinnedBytes?: number;
}

/** What an enclave is made from, checked. */
export interface EnclaveSettings {
  readonly strategy: Strategy;
  /** Whether calls are served in the process of the program itself. */
  readonly inPlace: boolean;
  readonly grants: Grants;
  /** The host's directory for each granted mount. */
  readonly directories: readonly string[];
  readonly pinnedBytes: number;
  readonly encoded: Uint8Array;
}

/** Refuses what cannot be before anything is taken from the system. */
export function checkOptions(image: Image, options: EnclaveOptions): EnclaveSettings {
  const { strategy = 'exitless', fileSecret } = options;
  if (!strategies.includes(strategy)) {
    throw new InvalidArgumentError(`there is no strategy '${strategy}'; there are ${strategies.join(', ')}`);
  }
  checkEngine(options.engine);
  checkWorkers(options.workers);
  if (fileSecret !== undefined && fileSecret.length !== FILE_SECRET_BYTES) {
    throw new InvalidArgumentError(`a file secret has ${FILE_SECRET_BYTES} bytes, not ${fileSecret.length}`);
  }
  const encoded = encodeImage(image);
  if (encoded.length > IMAGE_BYTES_MAX) {
    throw new InvalidArgumentError(`an image of ${encoded.length} bytes is larger than ${IMAGE_BYTES_MAX}`);
  }
  const grants = parseGrants(image.manifest.grants);
  return {
    strategy,
    inPlace: strategy === 'direct' || strategy === 'exit-sgx',
    grants,
    directories: directoriesOf(grants.files, options.directories ?? {}),
    pinnedBytes: checkPinnedBytes(options.pinnedBytes),
    encoded,
  };
}

/** What the process is told at its start. */
export function bootOf(image: Image, options: EnclaveOptions, settings: EnclaveSettings): Boot {
  return {
    channels: image.manifest.threads,
    pinnedBytes: settings.pinnedBytes,
    host: process.pid,
    measurement: image.measurement,
    strategy: settings.strategy,
    exitNanoseconds: options.exitNanoseconds ?? 0,
    directories: settings.inPlace ? settings.directories : [],
    hasFileSecret: options.fileSecret !== undefined,
    services: options.services,
  };
}

/** Room for two chunks at least, in whole pages of WebAssembly. */
function checkPinnedBytes(bytes = 0): number {
  const rounded = Math.ceil(bytes / WASM_PAGE_BYTES) * WASM_PAGE_BYTES;
  if (bytes === 0 || (rounded >= PINNED_BYTES_MIN && rounded <= PINNED_BYTES_MAX)) return rounded;
  throw new InvalidArgumentError(`pinnedBytes is 0, or from ${PINNED_BYTES_MIN} to ${PINNED_BYTES_MAX}`);
}
