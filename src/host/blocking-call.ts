import type { Request } from '../boundary/ring.ts';
import { type BlockingArguments, discardResult, perform } from './blocking.ts';
import type { Executor, Pending } from './executor.ts';

/** Told when a call that may block is over, whoever waited for it: what it used may be closed now. */
export interface InUse {
  begin(): void;
  end(): void;
}

/**
 * What becomes of the result of a call, if it is no error: a handle instead of a descriptor, say. What the call
 * left lies at `address`, which no enclave can change.
 */
export type Convert = (executor: Executor, result: number, address: number) => number;

/** One call that may have to wait for a disk. */
export class BlockingCall implements Pending, BlockingArguments {
  readonly id: number;
  readonly timeout: number;
  readonly operation: number;
  readonly descriptor: number;
  readonly first: number;
  readonly second: number;
  readonly position: number;
  readonly length: number;
  /** Where the payload of the enclave lies. */
  readonly address: number;
  readonly #inUse: InUse | undefined;
  readonly #convert: Convert | undefined;
  #withdrawn = false;

  constructor(
    executor: Executor,
    request: Request,
    call: Partial<BlockingArguments> & { readonly operation: number },
    inUse?: InUse,
    convert?: Convert,
  ) {
    this.id = request.id;
    this.timeout = request.timeout;
    this.operation = call.operation;
    this.descriptor = call.descriptor ?? -1;
    this.first = call.first ?? 0;
    this.second = call.second ?? 0;
    this.position = call.position ?? -1;
    this.length = request.length;
    this.address = executor.address(request.payload);
    this.#inUse = inUse;
    this.#convert = convert;
    inUse?.begin();
  }

  /** Nobody waits for it any more; it ends all the same. */
  get withdrawn(): boolean {
    return this.#withdrawn;
  }

  withdraw(): void {
    this.#withdrawn = true;
  }

  /** Tells how it ended. What it left is in place, and at `address` too. */
  finish(executor: Executor, result: number, address: number): void {
    this.#inUse?.end();
    if (this.#withdrawn) return discardResult(this.operation, result);
    const converted = result < 0 ? result : this.#convert?.(executor, result, address);
    executor.settle(this, converted ?? result);
  }
}

/** Where calls that may block are made. */
export interface BlockingCalls {
  start(executor: Executor, call: BlockingCall): void;
  /** Hands over what was started and is still held back, to go all at once. */
  submit(): void;
}

/** On this thread, at once: what a program without an enclave does. */
export const blockingInPlace: BlockingCalls = {
  start(executor, call) {
    executor.wait(call, -1);
    call.finish(executor, perform(call, call.address), call.address);
  },
  submit() {},
};
