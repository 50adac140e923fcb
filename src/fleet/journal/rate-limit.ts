/** A token bucket that holds a second's worth. */
export class RateLimit {
  readonly #perSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, now: () => number) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = perSecond;
    this.#atMs = now();
  }

  /** Whether an event may pass now. */
  get hasRoom(): boolean {
    const now = this.#now();
    const elapsedMs = Math.max(0, now - this.#atMs);
    this.#tokens = Math.min(this.#perSecond, this.#tokens + (elapsedMs * this.#perSecond) / 1000);
    this.#atMs = now;
    return this.#tokens >= 1;
  }

  /** Takes a token. Returns whether there was one. */
  take(): boolean {
    if (!this.hasRoom) return false;
    this.#tokens--;
    return true;
  }
}
