/** What a script waits for, and what it does at that moment, with the guest stopped. */
import { unlessAborted } from '../session/unless-aborted.ts';

export class Arrival<T> {
  /** Resolves with what `whileStopped` returns. */
  readonly result: Promise<T>;
  readonly #whileStopped: () => Promise<T>;
  #resolve!: (value: Promise<T>) => void;
  #reject!: (error: unknown) => void;

  constructor(whileStopped: () => Promise<T>) {
    this.#whileStopped = whileStopped;
    this.result = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // It may fail before anything waits for it.
    this.result.catch(() => {});
  }

  /** It has come. Returns when the guest may run on: the script has had a turn, or has released the guest in it. */
  async come(released: AbortSignal): Promise<void> {
    const working = this.#whileStopped();
    this.#resolve(working);
    await unlessAborted(released, working).catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** It never comes. */
  fail(error: unknown): void {
    this.#reject(error);
  }
}
