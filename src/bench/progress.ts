import type { WriteStream } from 'node:tty';

/** Where progress goes: standard error, so that standard output stays for results. */
export type ProgressStream = NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;

const BAR_CELLS = 24;
const DEFAULT_COLUMNS = 80;
const CLEAR_LINE = '\r\x1b[K';

/** Tells how far a long run is: one live line on a terminal, a plain line for each step elsewhere. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #total: number;
  #done = 0;

  /** The run has `total` steps. */
  constructor(stream: ProgressStream, total: number) {
    this.#stream = stream;
    this.#total = total;
  }

  /** Says what runs now; the steps before it are done. */
  step(what: string): void {
    const count = `${this.#done + 1}/${this.#total}`;
    if (this.#stream.isTTY) this.#draw(`${drawBar(this.#done / this.#total)} ${count} ${what}`);
    else this.#stream.write(`${count} ${what}\n`);
    this.#done = Math.min(this.#done + 1, this.#total - 1);
  }

  /** Clears the live line, so that results can follow. */
  end(): void {
    if (this.#stream.isTTY) this.#stream.write(CLEAR_LINE);
  }

  /** A line that is longer than the terminal is wide would wrap, and then it could not be drawn over. */
  #draw(line: string): void {
    const columns = this.#stream.columns ?? DEFAULT_COLUMNS;
    this.#stream.write(CLEAR_LINE + line.slice(0, columns - 1));
  }
}

function drawBar(fraction: number): string {
  const filled = Math.round(fraction * BAR_CELLS);
  return '█'.repeat(filled) + '░'.repeat(BAR_CELLS - filled);
}
