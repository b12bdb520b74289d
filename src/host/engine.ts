import { InvalidArgumentError, MachineError, SystemError } from '../errors.ts';
import { Uring } from '../linux/uring.ts';
import type { BlockingCalls } from './blocking-call.ts';
import type { Executor } from './executor.ts';
import { UringCalls } from './uring-calls.ts';

/** How a worker makes calls that wait for a disk. */
export const engines = ['auto', 'direct', 'uring'] as const;

export type Engine = (typeof engines)[number];

/** Refuses an engine that there is not, or that this machine does not have. */
export function checkEngine(engine: Engine | undefined): void {
  if (engine !== undefined && !engines.includes(engine)) {
    throw new InvalidArgumentError(`there is no engine '${engine}'; there are ${engines.join(', ')}`);
  }
  if (engine !== 'uring') return;
  try {
    new Uring(1).close();
  } catch (cause) {
    throw new MachineError(
      'SGXIO_UNSUPPORTED_MACHINE',
      "the kernel refuses io_uring: leave the engine to 'auto', or set kernel.io_uring_disabled=0 and allow it in the container",
      { cause },
    );
  }
}

/** The io_uring of an engine; nothing for an engine without one, or for `auto` where the kernel refuses. */
export function createUringCalls(
  engine: Engine,
  executor: Executor,
  memory: SharedArrayBuffer,
  others: BlockingCalls,
): UringCalls | undefined {
  if (engine === 'direct') return undefined;
  try {
    return new UringCalls(executor, memory, others);
  } catch (error) {
    const refused = error instanceof SystemError || error instanceof MachineError;
    if (engine === 'auto' && refused) return undefined;
    throw error;
  }
}
