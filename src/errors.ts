/**
 * Every error that leaves this package carries a stable `code`; callers match on it, never on a message.
 * One class per kind that a caller treats differently.
 */

export type ErrorCode =
  | 'SGXIO_INVALID_ARGUMENT'
  | 'SGXIO_UNSUPPORTED_MACHINE'
  | 'SGXIO_LOCKED_MEMORY_LIMIT'
  | 'SGXIO_IMAGE_INVALID'
  | 'SGXIO_IMAGE_TAMPERED'
  | 'SGXIO_ENCLAVE_FAILED'
  | 'SGXIO_ENCLAVE_STOPPED'
  | 'SGXIO_THREAD_FAILED'
  | 'SGXIO_WORKER_FAILED'
  | 'SGXIO_FORBIDDEN_MODULE'
  | 'SGXIO_NOT_GRANTED'
  | 'SGXIO_CHANNEL_FULL'
  | 'SGXIO_CLOSED'
  | 'SGXIO_TIMED_OUT'
  | 'SGXIO_ABORTED'
  | 'SGXIO_HOST_VIOLATION'
  | 'SGXIO_LAUNCH_REJECTED'
  | 'SGXIO_LAUNCH_FAILED'
  | 'SGXIO_STREAM_FAILED'
  | 'SGXIO_ENCODING_INVALID'
  | 'SGXIO_MEMORY_EXHAUSTED'
  | 'SGXIO_MEMORY_MISUSE'
  | 'SGXIO_COPY_TAMPERED'
  | 'SGXIO_PAGE_TAMPERED'
  | 'SGXIO_FILE_TAMPERED'
  | 'SGXIO_FILE_STALE';

/** The base of all errors of this package. */
export class SgxioError extends Error {
  readonly code: string;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

/** A caller's mistake: fix the argument and call again. */
export class InvalidArgumentError extends SgxioError {
  constructor(message: string, options?: ErrorOptions) {
    super('SGXIO_INVALID_ARGUMENT', message, options);
  }
}

/** This machine, kernel or these limits cannot run an enclave as asked; the message says what to change. */
export class MachineError extends SgxioError {}

/** An image that cannot be built, read or trusted. */
export class ImageError extends SgxioError {}

/** The enclave process did not start, stopped or died; pending work fails with this. */
export class EnclaveError extends SgxioError {}

/** The program asked for something that its image was not granted. */
export class NotGrantedError extends SgxioError {
  constructor(message: string, options?: ErrorOptions) {
    super('SGXIO_NOT_GRANTED', message, options);
  }
}

/** A deadline passed before the work was done. */
export class TimeoutError extends SgxioError {
  constructor(message: string, options?: ErrorOptions) {
    super('SGXIO_TIMED_OUT', message, options);
  }
}

/** An AbortSignal ended the work. */
export class AbortError extends SgxioError {
  constructor(message: string, options?: ErrorOptions) {
    super('SGXIO_ABORTED', message, options);
  }
}

/** A value that cannot cross the boundary, or bytes that are no encoding of a value. */
export class EncodingError extends SgxioError {
  constructor(message: string, options?: ErrorOptions) {
    super('SGXIO_ENCODING_INVALID', message, options);
  }
}

/**
 * The host answered with something that no honest host can answer. Never retried: the enclave stops, because
 * from here on nothing that the host says can be told from an attack.
 */
export class HostViolation extends SgxioError {
  constructor(message: string, options?: ErrorOptions) {
    super('SGXIO_HOST_VIOLATION', message, options);
  }
}

/** The enclave's own memory was used wrongly (freed twice, used after free) or there is none left. */
export class MemoryError extends SgxioError {}

/**
 * A page that came back from the backing store is not what was stored there. Never retried: the heap serves
 * what it holds in private memory, and nothing more.
 */
export class PageTamperedError extends SgxioError {
  /** The page's number in the backing store. */
  readonly page: number;

  constructor(page: number, options?: ErrorOptions) {
    super(
      'SGXIO_PAGE_TAMPERED',
      `page ${page} of the backing store is not what was stored there; stop the enclave`,
      options,
    );
    this.page = page;
  }
}

/**
 * What the host gave for a block of a protected file is not what was written there. Files that are intact stay
 * readable.
 */
export class FileTamperedError extends SgxioError {
  readonly path: string;
  /** The number of the block in its file, from 0; of an index block, the first that it leads to; else -1. */
  readonly block: number;

  constructor(path: string, block: number, what: string, options?: ErrorOptions) {
    super('SGXIO_FILE_TAMPERED', `${path}: ${what}`, options);
    this.path = path;
    this.block = block;
  }
}

/** A protected mount that opens, but is not the newest state that its monotonic counter knows of. */
export class FileStaleError extends SgxioError {
  readonly path: string;

  constructor(path: string, what: string, options?: ErrorOptions) {
    super('SGXIO_FILE_STALE', `${path}: ${what}`, options);
    this.path = path;
  }
}

/** What the operating system answered, in the shape that Node's own errors have. */
export class SystemError extends Error {
  readonly code: string;
  /** Negative, as in Node. */
  readonly errno: number;
  readonly syscall: string;
  /** The path that the call named, where it named one. */
  declare readonly path?: string;

  constructor(code: string, errno: number, syscall: string, detail = '', path?: string) {
    super(`${syscall} ${code}${detail === '' ? '' : `: ${detail}`}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    if (path !== undefined) this.path = path;
  }

  override get name(): string {
    return 'SystemError';
  }
}
