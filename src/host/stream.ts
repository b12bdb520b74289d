import { AbortError, SgxioError } from '../errors.ts';
import type { Copier, CopyOptions, HostMemory, PrivateBuffer } from './copier.ts';
import type { Graph } from './graph.ts';
import type { Settler } from './launch-channel.ts';
import type { Launcher, LaunchOptions } from './launcher.ts';
import { StreamEvent } from './stream-event.ts';
import type { ArgumentsOf, FunctionName, ResultOf, UntypedProgram } from './typed-program.ts';

/** Begins a step of a stream: throws, or sees to it that the settler is told once. What it returns gives the step up. */
type Start = (settler: Settler) => (() => void) | undefined;

interface Operation extends Settler {
  readonly start: Start;
  giveUp: (() => void) | undefined;
}

/**
 * Work of an enclave in order: an operation starts when the one before it has ended. Streams overlap with each
 * other. Launches of one stream run on one thread.
 *
 * When an operation fails, those behind it do not run: they and all later ones fail with SGXIO_STREAM_FAILED, and
 * the failure is their cause, until `synchronize` has reported it. So nothing runs on what was not done, and a
 * program may leave out to await each operation so long as it synchronizes in the end.
 */
export class Stream<Program extends object = UntypedProgram> {
  readonly #launcher: Launcher;
  readonly #copier: () => Copier;
  /** The enclave thread that its launches run on. */
  readonly thread: number;
  readonly #operations = new Set<Operation>();
  #running: Operation | undefined;
  #failure: Error | undefined;
  #isPumping = false;

  /** `copier` says who copies, or throws where nothing does. */
  constructor(launcher: Launcher, copier: () => Copier, thread: number) {
    this.#launcher = launcher;
    this.#copier = copier;
    this.thread = thread;
  }

  launch<Name extends FunctionName<Program>>(
    name: Name,
    ...values: ArgumentsOf<Program, Name>
  ): Promise<ResultOf<Program, Name>> {
    return this.launchWith({}, name, ...values);
  }

  /** The stream says on which thread; the rest of the options holds from the moment the launch is its turn. */
  launchWith<Name extends FunctionName<Program>>(
    options: Omit<LaunchOptions, 'thread'>,
    name: Name,
    ...values: ArgumentsOf<Program, Name>
  ): Promise<ResultOf<Program, Name>> {
    const here = { ...options, thread: this.thread };
    return this.#add((settler) => this.#launcher.start(name, values, here, settler));
  }

  /** Runs a captured graph; the result is that of its last step. */
  launchGraph(graph: Graph): Promise<unknown> {
    return this.#add((settler) => graph.start({}, settler));
  }

  /** Copies the host's bytes into a private buffer. They must not change until it is done. */
  copyToEnclave(buffer: PrivateBuffer, source: HostMemory, options: CopyOptions = {}): Promise<void> {
    return this.#copy('in', buffer, source, options);
  }

  /** Copies from a private buffer into the host's bytes, as many as those are. */
  copyFromEnclave(buffer: PrivateBuffer, target: HostMemory, options: CopyOptions = {}): Promise<void> {
    return this.#copy('out', buffer, target, options);
  }

  #copy(
    direction: 'in' | 'out',
    buffer: PrivateBuffer,
    memory: HostMemory,
    options: CopyOptions,
  ): Promise<void> {
    return this.#add((settler) => {
      const limit = { isGivenUp: false };
      this.#copier()
        .copy(direction, buffer, memory, options, limit)
        .then(
          () => settler.resolve(undefined),
          (error) => settler.reject(error),
        );
      return () => {
        limit.isGivenUp = true;
      };
    });
  }

  /** Runs a function of the host when all before it is done; what is behind it waits for its promise. */
  callback<Result>(run: () => Result | Promise<Result>): Promise<Result> {
    return this.#add((settler) => {
      Promise.resolve()
        .then(run)
        .then(
          (value) => settler.resolve(value),
          (error) => settler.reject(error instanceof Error ? error : new Error(String(error))),
        );
      return undefined;
    });
  }

  /** An event that is complete when all that was given to this stream so far is done. */
  record(): StreamEvent {
    const event = new StreamEvent();
    this.#add(resolveNow).then(
      () => event.settle(undefined),
      (error: Error) => event.settle(error),
    );
    return event;
  }

  /** Lets what is given to this stream from here on wait for an event, of whichever stream. */
  wait(event: StreamEvent): void {
    this.#add((settler) => {
      event.whenSettled((error) =>
        error === undefined ? settler.resolve(undefined) : settler.reject(error),
      );
      return undefined;
    });
  }

  /** Whether all that was given to this stream is done. */
  query(): boolean {
    return this.#running === undefined;
  }

  /** Resolves when all that was given to this stream so far is done, and fails with the first failure, which it clears. */
  async synchronize(): Promise<void> {
    await this.#add(resolveNow).catch(() => {});
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }

  /** Gives up what runs, and does not run what waits. It counts as a failure. */
  cancel(reason: Error = new AbortError('the stream was cancelled')): void {
    this.#fail(reason);
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    running.giveUp?.();
    running.reject(reason);
  }

  #add<Result>(start: Start): Promise<Result> {
    const promise = new Promise<Result>((resolve, reject) => {
      const operation: Operation = {
        start,
        resolve: resolve as (value: unknown) => void,
        reject,
        giveUp: undefined,
      };
      if (this.#failure !== undefined) operation.reject(failed(this.#failure));
      else this.#operations.add(operation);
    });
    // Who does not await it hears of it from `synchronize`.
    promise.catch(() => {});
    this.#pump();
    return promise;
  }

  /** Starts what is next, and what is behind that when it ends at once. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (const operation of this.#operations) {
      if (this.#running !== undefined) break;
      this.#operations.delete(operation);
      this.#run(operation);
    }
    this.#isPumping = false;
  }

  #run(operation: Operation): void {
    this.#running = operation;
    const resolve = (value: unknown): void => {
      if (this.#running !== operation) return;
      this.#running = undefined;
      operation.resolve(value);
      this.#pump();
    };
    const reject = (error: Error): void => {
      if (this.#running !== operation) return;
      this.#running = undefined;
      operation.reject(error);
      this.#fail(error);
    };
    try {
      operation.giveUp = operation.start({ resolve, reject });
    } catch (error) {
      reject(error as Error);
    }
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const skipped = [...this.#operations];
    this.#operations.clear();
    for (const operation of skipped) operation.reject(failed(error));
  }
}

const resolveNow: Start = (settler) => {
  settler.resolve(undefined);
  return undefined;
};

function failed(cause: Error): SgxioError {
  return new SgxioError(
    'SGXIO_STREAM_FAILED',
    `an operation before this one in its stream failed: ${cause.message}`,
    { cause },
  );
}
