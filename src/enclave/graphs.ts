import type { Value } from '../boundary/encoding.ts';
import { InvalidArgumentError, SgxioError } from '../errors.ts';
import { GRAPHS_MAX } from '../limits.ts';
import { LaunchRejection } from './launchable.ts';
import type { TaskScope } from './tasks.ts';

interface Step {
  readonly run: (...values: unknown[]) => unknown;
  /** Decoded once: every run of the graph passes the same objects. */
  readonly values: readonly Value[];
}

/** Sequences of launches that the host recorded once, to run each with one launch. */
export class Graphs {
  readonly #graphs = new Map<number, readonly Step[]>();
  #last = 0;

  /** Keeps a list of steps, each the number of a function and its arguments, and says under which number. */
  capture(exports: readonly ((...values: unknown[]) => unknown)[], steps: unknown): number {
    if (this.#graphs.size >= GRAPHS_MAX) {
      throw new SgxioError(
        'SGXIO_CHANNEL_FULL',
        `this thread keeps ${GRAPHS_MAX} graphs already; release some`,
      );
    }
    if (!Array.isArray(steps)) throw new LaunchRejection('a graph is a list of steps');
    const checked = steps.map((step: unknown): Step => {
      const [number, values] = Array.isArray(step) ? step : [];
      // A name would find what every list inherits.
      const run = Number.isInteger(number) ? exports[number] : undefined;
      if (run === undefined || !Array.isArray(values))
        throw new LaunchRejection('a step is the number of a function and the list of its arguments');
      return { run, values };
    });
    this.#last = (this.#last % 0x7fff_ffff) + 1;
    this.#graphs.set(this.#last, checked);
    return this.#last;
  }

  release(graph: unknown): void {
    if (!this.#graphs.delete(graph as number)) throw released();
  }

  /**
   * Runs the steps one after the other as the task of `scope`. What a step started ends before the next begins, and
   * none begins once the task was cancelled. The result is that of the last.
   */
  run(graph: number, scope: TaskScope): unknown {
    const steps = this.#graphs.get(graph);
    if (steps === undefined) throw released();
    let result: unknown;
    for (let index = 0; index < steps.length; index++) {
      const { run, values } = steps[index] as Step;
      result = run(...values);
      if (result instanceof Promise || scope.hasChildren)
        return finish(result, steps.slice(index + 1), scope);
    }
    return result;
  }
}

async function finish(running: unknown, steps: readonly Step[], scope: TaskScope): Promise<unknown> {
  let result = await running;
  for (const { run, values } of steps) {
    await scope.ready();
    result = await scope.enter(() => run(...values));
  }
  return result;
}

function released(): SgxioError {
  return new InvalidArgumentError('there is no such graph: it was released');
}
