/** How long the guest runs, and is stopped. Notices that it is stopped for most of the time, because it is watched. */

const WINDOW_MS = 5000;
const BEARABLE_SHARE = 0.5;
/** Fewer stops in that time are long ones: a reader that does not read, or a program that looks at the guest. */
const MIN_STOPS = 20;

interface Times {
  stops: number;
  runningMs: number;
  stoppedMs: number;
}

const none = (): Times => ({ stops: 0, runningMs: 0, stoppedMs: 0 });

export class StopTimes {
  readonly #onUnbearable: (share: number) => void;
  readonly #all = none();
  /** Undefined once they are known to be unbearable. */
  #window: Times | undefined = none();
  #isRunning = false;
  #sinceMs = 0;

  /** @param onUnbearable called once, with the share of the time that the guest was stopped */
  constructor(onUnbearable: (share: number) => void) {
    this.#onUnbearable = onUnbearable;
  }

  /** Since `begin` was called first. */
  get all(): Readonly<Times> {
    return this.#all;
  }

  /** The guest is stopped, and time counts from here on. */
  begin(now = performance.now()): void {
    this.#sinceMs = now;
  }

  /** The guest runs. */
  runs(now = performance.now()): void {
    this.#add('stoppedMs', now);
    this.#isRunning = true;
  }

  /** The guest has stopped. May be called again before it runs. */
  stopped(now = performance.now()): void {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#add('runningMs', now);
    this.#all.stops++;
    if (this.#window === undefined) return;
    this.#window.stops++;
    this.#look(this.#window);
  }

  #add(what: 'stoppedMs' | 'runningMs', now: number): void {
    this.#all[what] += now - this.#sinceMs;
    if (this.#window !== undefined) this.#window[what] += now - this.#sinceMs;
    this.#sinceMs = now;
  }

  #look({ stops, runningMs, stoppedMs }: Times): void {
    const totalMs = stoppedMs + runningMs;
    if (totalMs < WINDOW_MS) return;
    const share = stoppedMs / totalMs;
    const isUnbearable = share > BEARABLE_SHARE && stops >= MIN_STOPS;
    this.#window = isUnbearable ? undefined : none();
    if (isUnbearable) this.#onUnbearable(share);
  }
}
