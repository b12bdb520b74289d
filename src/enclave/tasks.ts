import { AbortError, InvalidArgumentError } from '../errors.ts';

/**
 * Tasks of a program: what a launch runs, and what that starts beside itself. They are structured: a task has
 * ended only when all that it started has, and when one of them fails or the host gives the launch up, the rest
 * are asked to end. A task yields whenever it awaits; one that computes for long should call `tasks.yield`.
 */
export interface Task {
  /** Aborted when the host gives the launch up, or when a task beside this one failed. */
  readonly signal: AbortSignal;
  /**
   * Starts a task that belongs to this one, at once, up to its first await. The promise is its result; a failure
   * also cancels the other children and fails this task, whether or not the promise is awaited.
   */
  spawn<Result>(run: (task: Task) => Result | Promise<Result>): Promise<Result>;
}

export class TaskScope implements Task {
  #controller: AbortController | undefined;
  #children: Set<TaskScope> | undefined;
  #waiting: (() => void) | undefined;
  #cancelled: Error | undefined;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled !== undefined) this.#controller.abort(this.#cancelled);
    }
    return this.#controller.signal;
  }

  /** Whether anything was started beside the task itself. */
  get hasChildren(): boolean {
    return this.#children !== undefined;
  }

  spawn<Result>(run: (task: Task) => Result | Promise<Result>): Promise<Result> {
    if (this.#ended) throw new InvalidArgumentError('the task has ended: it cannot start another');
    const child = new TaskScope();
    this.#children ??= new Set();
    this.#children.add(child);
    if (this.#cancelled !== undefined) child.cancel(this.#cancelled);
    const result = child.#start(run);
    result.then(
      () => this.#leave(child),
      (error: unknown) => {
        this.#failure ??= { error };
        this.#cancelChildren(new AbortError('a task beside this one failed', { cause: error }));
        this.#leave(child);
      },
    );
    return result;
  }

  async #start<Result>(run: (task: Task) => Result | Promise<Result>): Promise<Result> {
    return this.settle(this.enter(() => run(this)));
  }

  /** Runs `run` as this task, up to its first await. */
  enter<Result>(run: () => Result): Result {
    const outer = current;
    current = this;
    try {
      return run();
    } catch (error) {
      if (this.#children === undefined) throw error;
      return Promise.reject(error) as Result;
    } finally {
      current = outer;
    }
  }

  /** The task's result, once it and all of its children have ended. */
  async settle<Result>(running: Result | Promise<Result>): Promise<Result> {
    let result: Result | undefined;
    try {
      result = await running;
    } catch (error) {
      this.#failure ??= { error };
      this.#cancelChildren(new AbortError('the task that started this one failed', { cause: error }));
    }
    await this.#childrenEnded();
    this.#ended = true;
    if (this.#failure !== undefined) throw this.#failure.error;
    return result as Result;
  }

  /** Resolves when all that the task has started so far has ended. Throws what failed of it, or why it was cancelled. */
  async ready(): Promise<void> {
    await this.#childrenEnded();
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#cancelled !== undefined) throw this.#cancelled;
  }

  async #childrenEnded(): Promise<void> {
    while (this.#children !== undefined && this.#children.size > 0) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  #leave(child: TaskScope): void {
    this.#children?.delete(child);
    if (this.#children?.size === 0) this.#waiting?.();
  }

  /** Asks this task and its children to end. */
  cancel(reason: Error): void {
    if (this.#cancelled !== undefined) return;
    this.#cancelled = reason;
    this.#controller?.abort(reason);
    this.#cancelChildren(reason);
  }

  #cancelChildren(reason: Error): void {
    for (const child of this.#children ?? []) child.cancel(reason);
  }
}

let current: TaskScope | undefined;

/**
 * The task that this code runs as. Known only until the task's first await: keep it in a variable.
 */
function currentTask(): Task {
  if (current === undefined) {
    throw new InvalidArgumentError(
      'no task is known here: call tasks.current() before the first await of a launched function, and keep it',
    );
  }
  return current;
}

/** Starts a task that belongs to the current one; see {@link Task.spawn}. */
function spawn<Result>(run: (task: Task) => Result | Promise<Result>): Promise<Result> {
  return currentTask().spawn(run);
}

/** Lets launches and other tasks of this thread run. With a task, throws its reason if it was cancelled. */
async function yieldTurn(task?: Task): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  task?.signal.throwIfAborted();
}

/** What a program does with tasks. */
export const tasks: {
  readonly current: () => Task;
  readonly spawn: typeof spawn;
  readonly yield: (task?: Task) => Promise<void>;
} = { current: currentTask, spawn, yield: yieldTurn };
