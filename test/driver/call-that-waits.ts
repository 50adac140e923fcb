/** A call in steps that has done its work only once the event loop has had a turn. */
import type { StepwiseCall } from '../../src/driver/carry-out.ts';

/** Steps after which nobody gives way any more: minutes. */
const MOST_STEPS = 1e8;

export class CallThatWaits implements StepwiseCall<true> {
  #steps = 0;
  #isDone = false;
  #reason: unknown;

  constructor() {
    setImmediate(() => (this.#isDone = true));
  }

  advance(): boolean {
    if (++this.#steps > MOST_STEPS) throw new Error('nothing else had its turn');
    return !this.#isDone;
  }

  cancel(reason: unknown): boolean {
    if (this.#isDone) return false;
    this.#isDone = true;
    this.#reason = reason;
    return true;
  }

  finish(): true {
    while (this.advance());
    if (this.#reason !== undefined) throw this.#reason;
    return true;
  }
}
