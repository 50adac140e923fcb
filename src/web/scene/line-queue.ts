/** Lines for one reader that may be slow: it gets all of them or, beyond a bound, a line that says how many are missing. */
import { droppedLine } from '../../sinks/jsonl-format.ts';

const MAX_LINES = 65_536;

export class LineQueue implements AsyncIterable<string> {
  #lines: string[];
  #dropped = 0;
  #isOver = false;
  #wake = () => {};

  constructor(first: string) {
    this.#lines = [first];
  }

  push(line: string): void {
    if (this.#isOver) return;
    if (this.#lines.length >= MAX_LINES) this.#dropped++;
    else this.#lines.push(line);
    this.#wake();
  }

  /** The reader gets what is there, and no more. */
  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  /** Several lines at a time, as they have come. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    for (;;) {
      if (this.#lines.length > 0) {
        const dropped = this.#dropped;
        const text = this.#lines.join('');
        [this.#lines, this.#dropped] = [[], 0];
        yield dropped === 0 ? text : text + droppedLine(dropped);
      } else if (this.#isOver) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }
}
