/**
 * At which stops everything that is monitored is compared with memory (rule C10).
 *
 * With one vCPU nothing merges: each write has a stop of its own, which names it, so a comparison should find nothing, and one a second is
 * enough (`MissedWrites` makes it while the guest runs undisturbed). With several, the stop of one vCPU may hide that of another: few entries
 * are compared at each stop; many only in a share of the time, and those above the page tables, which decide where all others are,
 * at each stop.
 */

/** So few are compared at each stop, with one vCPU (debug registers may be dead) and with several: it takes a fraction of what the stop takes. */
const EACH_STOP_ENTRIES = { one: 64, several: 4096 } as const;
/** Comparing takes some 50 ns an entry: a fifth of the time at most. */
const MS_PER_ENTRY = 1 / 4000;
const MAX_MS = 800;
/** So long a comparison that is due waits for a stop that comes anyway: to stop the guest for it costs a stop, and a second comparison. */
const NEXT_STOP_MS = 5;

export class Comparisons {
  readonly #mayMerge: boolean;
  readonly #isAlwaysDue: boolean;
  #entries = 0;
  #lastMs = -Infinity;
  #isOwed = false;

  /** @param isAlwaysDue for a caller that checks everything at each stop */
  constructor(vcpuCount: number, isAlwaysDue: boolean) {
    this.#mayMerge = vcpuCount > 1;
    this.#isAlwaysDue = isAlwaysDue;
  }

  /** Whether the stop of one vCPU may hide that of another. */
  get mayMerge(): boolean {
    return this.#mayMerge;
  }

  setEntries(count: number): void {
    this.#entries = count;
  }

  /** Whether everything is compared at this stop, which a watchpoint has caused. */
  isDue(): boolean {
    const intervalMs = this.#intervalMs;
    return this.#isAlwaysDue || intervalMs === 0 || performance.now() - this.#lastMs >= intervalMs;
  }

  /** Everything is compared now. */
  done(): void {
    this.#lastMs = performance.now();
    this.#isOwed = false;
  }

  /** What the next watchpoint tells of is not to be relied on: everything is compared there. */
  distrust(): void {
    this.#lastMs = -Infinity;
  }

  /** Only a part is compared now: the rest is owed. */
  owe(): void {
    this.#isOwed = true;
  }

  /**
   * Watches a guest that runs.
   *
   * @param onDue called when it has run for as long as it may before a comparison that is owed
   * @returns what begins that anew at a stop, and ends it
   */
  watchOwed(onDue: () => void): { restart(): void; end(): void } {
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      clearTimeout(timer);
      timer = undefined;
    };
    const restart = () => {
      if (!this.#isOwed) end();
      else timer ??= setTimeout(onDue, Math.max(1, this.#lastMs + this.#intervalMs + NEXT_STOP_MS - performance.now()));
    };
    restart();
    return { restart, end };
  }

  get #intervalMs(): number {
    if (this.#entries <= EACH_STOP_ENTRIES[this.#mayMerge ? 'several' : 'one']) return 0;
    return this.#mayMerge ? Math.min(MAX_MS, this.#entries * MS_PER_ENTRY) : MAX_MS;
  }
}
