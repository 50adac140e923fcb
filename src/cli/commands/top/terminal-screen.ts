/** The terminal while a command has all of it: the other screen, keys one by one, no cursor. Gives it back however the command ends. */
import type { Writable } from 'node:stream';
import process from 'node:process';
import { keysIn } from './keys.ts';

const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';

export interface ScreenEvents {
  readonly onKey: (key: string) => void;
  /** The size has changed, or another program has drawn meanwhile. */
  readonly onRedraw: () => void;
}

export class TerminalScreen {
  readonly #output: Writable & { readonly columns?: number; readonly rows?: number };
  readonly #events: ScreenEvents;
  #isEntered = false;
  readonly #take = (data: Buffer) => {
    for (const key of keysIn(data.toString('utf8'))) this.#events.onKey(key);
  };
  readonly #resume = () => {
    this.enter();
    this.#events.onRedraw();
  };
  readonly #leave = () => this.leave();

  constructor(output: Writable, events: ScreenEvents) {
    this.#output = output;
    this.#events = events;
  }

  get size(): { readonly columns: number; readonly rows: number } {
    const { columns = 80, rows = 24 } = this.#output;
    return { columns: Math.max(1, columns), rows: Math.max(1, rows) };
  }

  enter(): void {
    if (this.#isEntered) return;
    this.#isEntered = true;
    process.stdin.setRawMode(true);
    process.stdin.on('data', this.#take).resume();
    this.#output.on('resize', this.#events.onRedraw);
    // A fault that ends the process must not leave the terminal without its cursor.
    process.on('exit', this.#leave);
    this.#output.write(ENTER);
  }

  /** @param lines as many as the terminal has, each as wide */
  draw(lines: readonly string[]): void {
    if (this.#isEntered) this.#output.write(`\x1b[H${lines.join('\r\n')}`);
  }

  leave(): void {
    if (!this.#isEntered) return;
    this.#isEntered = false;
    process.stdin.setRawMode(false);
    process.stdin.off('data', this.#take).pause();
    this.#output.off('resize', this.#events.onRedraw);
    process.off('exit', this.#leave);
    this.#output.write(LEAVE);
  }

  /** As Ctrl-Z does where no command takes keys. */
  suspend(): void {
    this.leave();
    process.once('SIGCONT', this.#resume);
    process.kill(process.pid, 'SIGTSTP');
  }
}
