/** How long to wait before a process that ended is started again: twice as long each time, until one lasts. */
const FIRST_MS = 1000;
const MAX_MS = 60_000;
/** One that ran so long has not failed at its start. */
const LASTING_MS = 60_000;

export class Backoff {
  #nextMs = FIRST_MS;

  /** @param ranMs how long the process ran */
  after(ranMs: number): number {
    if (ranMs >= LASTING_MS) this.#nextMs = FIRST_MS;
    const waitMs = this.#nextMs;
    this.#nextMs = Math.min(MAX_MS, waitMs * 2);
    return waitMs;
  }
}
