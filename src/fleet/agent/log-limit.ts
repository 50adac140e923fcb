/** Passes the lines of one process on, as many as a reader can take in: what a guest provokes must not fill the log of the host. */
import { printable } from '../../sinks/printable.ts';

const LINES = 20;
const PERIOD_MS = 10_000;
const MAX_LENGTH = 1000;

export class LogLimit {
  readonly #log: (line: string) => void;
  #sinceMs = -Infinity;
  #lines = 0;
  #rest = '';

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  /** @param text a piece of output; a line without an end is kept until its end comes */
  take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!.slice(0, MAX_LENGTH);
    for (const line of lines) this.#pass(line);
  }

  #pass(line: string): void {
    const now = performance.now();
    if (now - this.#sinceMs >= PERIOD_MS) {
      if (this.#lines > LINES) this.#log(`${this.#lines - LINES} more lines`);
      [this.#sinceMs, this.#lines] = [now, 0];
    }
    this.#lines++;
    if (this.#lines <= LINES) this.#log(printable(line.slice(0, MAX_LENGTH)));
  }
}
