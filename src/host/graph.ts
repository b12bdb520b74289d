import { LaunchKind, ServiceNumber } from '../boundary/launch.ts';
import type { Settler } from './launch-channel.ts';
import type { Launcher, LaunchOptions } from './launcher.ts';
import type { ArgumentsOf, FunctionName, UntypedProgram } from './typed-program.ts';

/** Takes the steps of a graph down, in their order. */
export class GraphRecorder<Program extends object = UntypedProgram> {
  readonly #launcher: Launcher;
  readonly steps: (readonly [number, readonly unknown[]])[] = [];

  constructor(launcher: Launcher) {
    this.#launcher = launcher;
  }

  launch<Name extends FunctionName<Program>>(name: Name, ...values: ArgumentsOf<Program, Name>): void {
    this.steps.push([this.#launcher.functionNumber(name), values]);
  }
}

/**
 * A sequence of launches that an enclave thread keeps and runs, one after the other, for the price of one. Their
 * arguments are those that were recorded.
 */
export class Graph {
  readonly #launcher: Launcher;
  readonly #number: number;
  readonly thread: number;

  constructor(launcher: Launcher, number: number, thread: number) {
    this.#launcher = launcher;
    this.#number = number;
    this.thread = thread;
  }

  static async capture(
    launcher: Launcher,
    thread: number,
    steps: readonly (readonly [number, readonly unknown[]])[],
  ): Promise<Graph> {
    const number = await service(launcher, thread, ServiceNumber.captureGraph, [steps]);
    return new Graph(launcher, Number(number), thread);
  }

  /** Runs it. The result is that of the last step. */
  launch(options: Omit<LaunchOptions, 'thread'> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => this.start(options, { resolve, reject }));
  }

  /** The same for a settler. What it returns gives the run up. */
  start(options: LaunchOptions, settler: Settler): () => void {
    const here = { ...options, thread: this.thread };
    return this.#launcher.submit(LaunchKind.graph, this.#number, [], here, settler);
  }

  /** Lets the enclave forget it. */
  async release(): Promise<void> {
    await service(this.#launcher, this.thread, ServiceNumber.releaseGraph, [this.#number]);
  }
}

function service(
  launcher: Launcher,
  thread: number,
  number: number,
  values: readonly unknown[],
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    launcher.submit(LaunchKind.service, number, values, { thread }, { resolve, reject });
  });
}
