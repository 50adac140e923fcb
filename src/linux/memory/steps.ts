/**
 * Reads of a guest's memory that may take long. Each `yield` is a place to pause: there signals arrive, and the caller can abort. How
 * much there is to read is for the guest to decide, so nothing that depends on it runs without such places.
 */
import { setImmediate } from 'node:timers/promises';
import type { RemoteFetch } from '../../driver/driver.ts';
import { retry } from '../../driver/retry.ts';
import { GuestFault } from './guest-fault.ts';

export type Steps<T> = Generator<void, T, void>;

/** Short enough that Ctrl-C works at once. */
const PAUSE_INTERVAL_MS = 20;
/** Reading the clock takes as long as some steps. */
const STEPS_PER_LOOK = 16;

/** Runs reads to their ends, and pauses now and then. */
export class StepRunner {
  readonly #remote: RemoteFetch | undefined;
  readonly #signal: AbortSignal | undefined;
  #lastPause = performance.now();

  constructor(remote: RemoteFetch | undefined, signal: AbortSignal | undefined) {
    this.#remote = remote;
    this.#signal = signal;
  }

  /**
   * Where memory must be fetched first, fetches it and begins the read again.
   *
   * @throws what `start` throws; what the source throws; the reason of the signal when it is aborted
   */
  run<T>(start: () => Steps<T>): Promise<T> {
    const run = async () => {
      const steps = start();
      for (let count = 0; ; count++) {
        if (count % STEPS_PER_LOOK === 0 && performance.now() - this.#lastPause >= PAUSE_INTERVAL_MS)
          await this.#pause();
        const step = steps.next();
        if (step.done === true) return step.value;
      }
    };
    return retry(run, { remote: this.#remote, signal: this.#signal });
  }

  /** The same for a read that is short. */
  once<T>(read: () => T): Promise<T> {
    return this.run(function* () {
      return read();
    });
  }

  async #pause(): Promise<void> {
    await setImmediate();
    this.#signal?.throwIfAborted();
    this.#lastPause = performance.now();
  }
}

/** Runs a short read to its end at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** What `read` returns; undefined where the guest's memory is inconsistent, and then `faults` learns why. */
export function* attemptSteps<T>(read: () => Steps<T>, faults?: (why: string) => void): Steps<T | undefined> {
  try {
    return yield* read();
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    faults?.(error.message);
    return undefined;
  }
}
