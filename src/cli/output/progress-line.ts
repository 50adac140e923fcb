/** Reports progress on standard error, once work has taken more than a second. */
import type { Progress } from '../../driver/pacer.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { sizeText } from './size-text.ts';

const QUIET_MS = 1000;
/** Between two lines. On a terminal each line replaces the one before. */
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

  /** Call it as often as progress is made. */
  readonly report = (progress: Progress): void => {
    const now = performance.now();
    const interval = this.#isTerminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS;
    if (now - this.#start < QUIET_MS || now - this.#last < interval) return;
    this.#last = now;
    this.#isShown = this.#isTerminal;
    void this.#messages.write(this.#isTerminal ? `\r\x1b[K${textOf(progress)}` : `${textOf(progress)}\n`);
  };

  /** Removes the line, before other output. */
  clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    void this.#messages.write('\r\x1b[K');
  }
}

function textOf({ what, done, total, unit }: Progress): string {
  const amount = (value: number) => (unit === 'bytes' ? sizeText(value) : `${value} ${unit}`);
  if (total === undefined) return `${what}: ${amount(done)}`;
  return `${what}: ${Math.floor((100 * done) / Math.max(total, 1))} % of ${amount(total)}`;
}
