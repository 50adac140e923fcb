/** Says on standard error how far something is, once it has taken more than a second. */
import type { Progress } from '../../driver/pacer.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { bytesInWords } from './size-text.ts';

const QUIET_MS = 1000;
/** Between two lines: on a terminal each takes the place of the one before. */
const TERMINAL_INTERVAL_MS = 100;
const LOG_INTERVAL_MS = 10_000;

export class ProgressLine {
  readonly #messages: TextOutput;
  readonly #isTerminal: boolean;
  readonly #start = performance.now();
  #last = -Infinity;
  #isShown = false;

  constructor(messages: TextOutput) {
    this.#messages = messages;
    this.#isTerminal = 'isTTY' in messages.stream && messages.stream.isTTY === true;
  }

  /** To be called as often as there is something new. */
  readonly report = (progress: Progress): void => {
    const now = performance.now();
    const interval = this.#isTerminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS;
    if (now - this.#start < QUIET_MS || now - this.#last < interval) return;
    this.#last = now;
    this.#isShown = this.#isTerminal;
    void this.#messages.write(this.#isTerminal ? `\r\x1b[K${textOf(progress)}` : `${textOf(progress)}\n`);
  };

  /** Takes the line away, before anything else is said. */
  clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    void this.#messages.write('\r\x1b[K');
  }
}

function textOf({ what, done, total, unit }: Progress): string {
  const amount = (value: number) => (unit === 'bytes' ? bytesInWords(value) : `${value} ${unit}`);
  if (total === undefined) return `${what}: ${amount(done)}`;
  return `${what}: ${Math.floor((100 * done) / Math.max(total, 1))} % of ${amount(total)}`;
}
