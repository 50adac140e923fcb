/** How long to wait from one sample to the next: less while pages change. */

/** A sample may take this share of the time, where the interval is not fixed: the host has other things to do. */
const MAX_SHARE = 0.2;

/** Where changes were found, the next interval is half of this one; where none were, it is a quarter longer. */
const FASTER = 0.5;
const SLOWER = 1.25;

export class Pace {
  readonly intervalMs: number;
  readonly minIntervalMs: number;
  #nowMs: number;

  /** @param minIntervalMs equal to the interval where that is fixed */
  constructor(intervalMs: number, minIntervalMs: number) {
    this.intervalMs = intervalMs;
    this.minIntervalMs = minIntervalMs;
    this.#nowMs = intervalMs;
  }

  /** A sample was compared, and so many changes were found. */
  compared(changes: number): void {
    const next = this.#nowMs * (changes > 0 ? FASTER : SLOWER);
    this.#nowMs = Math.min(this.intervalMs, Math.max(this.minIntervalMs, next));
  }

  /** @param tookMs how long the sample took @returns milliseconds from its beginning to that of the next */
  after(tookMs: number): number {
    if (this.minIntervalMs === this.intervalMs) return this.intervalMs;
    return Math.min(this.intervalMs, Math.max(this.#nowMs, tookMs / MAX_SHARE));
  }
}
