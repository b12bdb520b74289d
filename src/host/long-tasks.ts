import type { LaunchChannel } from './launch-channel.ts';
import type { Launcher } from './launcher.ts';

/** An enclave thread that has computed for long without looking for other work. */
export interface LongTask {
  readonly thread: number;
  /** How long so far. */
  readonly milliseconds: number;
  /** The functions of the launches that the thread has; one of them computes. */
  readonly functions: readonly string[];
}

export interface LongTaskOptions {
  /** What is long. */
  readonly milliseconds: number;
  /** Told of each, once while it lasts. */
  readonly report: (task: LongTask) => void;
}

/** How often in that time it is looked. */
const LOOKS = 4;

/** Watches the threads of an enclave for tasks that compute for too long. They count their own looks for work. */
export class LongTaskWatch {
  readonly #timer: NodeJS.Timeout;

  constructor(launcher: Launcher, channels: readonly LaunchChannel[], options: LongTaskOptions) {
    const watches = channels.map((channel, thread) => new ThreadWatch(launcher, channel, thread, options));
    this.#timer = setInterval(() => {
      for (const watch of watches) watch.look();
    }, options.milliseconds / LOOKS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

class ThreadWatch {
  readonly #launcher: Launcher;
  readonly #channel: LaunchChannel;
  readonly #thread: number;
  readonly #options: LongTaskOptions;
  #looks: number | undefined;
  #since = 0;
  #reported = false;

  constructor(launcher: Launcher, channel: LaunchChannel, thread: number, options: LongTaskOptions) {
    this.#launcher = launcher;
    this.#channel = channel;
    this.#thread = thread;
    this.#options = options;
  }

  look(): void {
    const now = performance.now();
    const looks = this.#channel.inFlight > 0 ? this.#channel.looks : undefined;
    if (looks === undefined || looks !== this.#looks) {
      this.#looks = looks;
      this.#since = now;
      this.#reported = false;
      return;
    }
    const milliseconds = now - this.#since;
    if (this.#reported || milliseconds < this.#options.milliseconds) return;
    this.#reported = true;
    const functions = this.#channel.running().map((launch) => this.#launcher.nameOf(launch));
    this.#options.report({ thread: this.#thread, milliseconds, functions });
  }
}
