/** Notices that this process was held up (SIGSTOP, a busy host, long synchronous work) while it waited for something. */

const TICK_MS = 20;

export class StallClock {
  readonly #limitMs: number;
  #timer: NodeJS.Timeout | undefined;
  #lastMs = 0;
  #hasStalled = false;

  /** @param limitMs how long a turn of the event loop may take */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  start(now = performance.now()): void {
    this.#lastMs = now;
    this.#hasStalled = false;
    // What has arrived meanwhile may be handled before this timer or after it.
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  /** Whether this process was held up since `start`. */
  hasStalled(now = performance.now()): boolean {
    this.#tick(now);
    return this.#hasStalled;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(now = performance.now()): void {
    if (now - this.#lastMs > this.#limitMs + TICK_MS) this.#hasStalled = true;
    this.#lastMs = now;
  }
}
