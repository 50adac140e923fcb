/** Notices that the guest is stopped for most of the time, because it is watched. */

const WINDOW_MS = 5000;
const BEARABLE_SHARE = 0.5;
/** Fewer stops in that time are long ones: a reader that does not read, or a program that looks at the guest. */
const MIN_STOPS = 20;

export class StoppedShare {
  readonly #onUnbearable: (share: number) => void;
  #runningMs = 0;
  #stoppedMs = 0;
  #stops = 0;
  #isKnown = false;

  /** @param onUnbearable called once, with the share of the time that the guest was stopped */
  constructor(onUnbearable: (share: number) => void) {
    this.#onUnbearable = onUnbearable;
  }

  /** The guest was stopped, then ran. */
  add(stoppedMs: number, runningMs: number): void {
    if (this.#isKnown) return;
    this.#stops++;
    this.#stoppedMs += stoppedMs;
    this.#runningMs += runningMs;
    const totalMs = this.#stoppedMs + this.#runningMs;
    if (totalMs < WINDOW_MS) return;
    const share = this.#stoppedMs / totalMs;
    if (share > BEARABLE_SHARE && this.#stops >= MIN_STOPS) {
      this.#isKnown = true;
      this.#onUnbearable(share);
    }
    [this.#stops, this.#stoppedMs, this.#runningMs] = [0, 0, 0];
  }
}
