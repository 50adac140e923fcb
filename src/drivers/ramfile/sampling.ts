/** How often a source was really looked at. */
import type { Pace } from './pace.ts';

/** A copy: it does not change any more. */
export interface Sampling {
  /** The interval while nothing changes. */
  readonly intervalMs: number;
  /** The interval while samples find changes; the same where it is fixed. */
  readonly minIntervalMs: number;
  /** How often the guest's memory was looked at. */
  readonly samples: number;
  /** Between the beginnings of two samples in succession; null before there are two. */
  readonly achievedIntervalMs: { readonly count: number; readonly mean: number; readonly max: number } | null;
}

export class SamplingClock {
  readonly #pace: Pace;
  #samples = 0;
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;
  #lastMs: number | undefined;

  constructor(pace: Pace) {
    this.#pace = pace;
  }

  /** A sample begins. */
  tick(nowMs: number): void {
    this.#samples++;
    if (this.#lastMs !== undefined) {
      const elapsedMs = nowMs - this.#lastMs;
      this.#count++;
      this.#sumMs += elapsedMs;
      this.#maxMs = Math.max(this.#maxMs, elapsedMs);
    }
    this.#lastMs = nowMs;
  }

  /** Nobody looks for a while: the time until the next sample is no interval. */
  pause(): void {
    this.#lastMs = undefined;
  }

  read(): Sampling {
    const [count, max] = [this.#count, this.#maxMs];
    const achievedIntervalMs = count === 0 ? null : { count, mean: this.#sumMs / count, max };
    const { intervalMs, minIntervalMs } = this.#pace;
    return { intervalMs, minIntervalMs, samples: this.#samples, achievedIntervalMs };
  }
}
