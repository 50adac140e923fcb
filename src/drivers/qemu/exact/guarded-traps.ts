/** Watchpoints that are given up, and not the watch, when they turn out to be too few or dead. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import { joined } from '../../../core/struct/address-list.ts';
import type { EntryTraps } from '../../../driver/driver.ts';
import type { EntryWatchpoints } from './watchpoints/entry-watchpoints.ts';
import { unmappedWords } from './aliases/unmapped-tables.ts';
import type { Comparisons } from './comparing/comparisons.ts';
import type { MissedWrites } from './comparing/missed-writes.ts';

export interface GuardedTrapsParts {
  readonly watchpoints: EntryWatchpoints;
  readonly missedWrites: MissedWrites;
  readonly comparisons: Comparisons;
  readonly samplesWhatDoesNotFit: boolean;
}

export class GuardedTraps implements EntryTraps {
  readonly maxEntries?: number;
  readonly #watchpoints: EntryWatchpoints;
  readonly #missedWrites: MissedWrites;
  readonly #comparisons: Comparisons;
  readonly #samplesWhatDoesNotFit: boolean;
  #isRunning = false;
  #isToNote = false;
  #isCheap = false;
  #note = () => {};

  constructor({ watchpoints, missedWrites, comparisons, samplesWhatDoesNotFit }: GuardedTrapsParts) {
    this.#watchpoints = watchpoints;
    this.#missedWrites = missedWrites;
    this.#comparisons = comparisons;
    this.#samplesWhatDoesNotFit = samplesWhatDoesNotFit;
    if (watchpoints.maxEntries !== undefined) this.maxEntries = watchpoints.maxEntries;
  }

  /** The guest runs: from now on entries that are too many for the debug registers no longer end the watch. */
  begin(): void {
    this.#isRunning = true;
  }

  /**
   * The next comparison is at a stop that no watchpoint has caused, or at one of theirs. After the former the values of
   * all entries are noted, for the comparisons while the guest runs.
   */
  comparing(isQuiet: boolean): void {
    this.#isToNote = isQuiet;
  }

  async setEntries(entries: Float64Array, entryByteLength: 4 | 8, untrapped?: Float64Array): Promise<void> {
    if (this.#missedWrites.isSampling) return this.#watchpoints.clear();
    this.#comparisons.setEntries(entries.length);
    try {
      await this.#watchpoints.setEntries(entries, entryByteLength);
    } catch (error) {
      const why = this.#whyGivenUp(error);
      if (why === undefined) throw error;
      this.#missedWrites.giveUp(why);
      await this.#watchpoints.clear();
      return;
    }
    this.#note = () =>
      this.#missedWrites.note(joined(entries, ...(untrapped === undefined ? [] : [untrapped])), entryByteLength);
    this.#isCheap = this.#missedWrites.isCheapToNote(entries.length);
    this.runOn();
  }

  /** The guest runs on with the same entries trapped. Returns whether it may: not where they are to be trapped no longer. */
  runOn(): boolean {
    if (this.#missedWrites.isSampling) return false;
    if (this.#isToNote || this.#isCheap) this.#note();
    else this.#missedWrites.forget();
    this.#isToNote = false;
    return true;
  }

  /** Undefined for an error that ends the watch. */
  #whyGivenUp(error: unknown): string | undefined {
    if (!this.#samplesWhatDoesNotFit || !(error instanceof PtmonError) || error.code !== 'protect-failed')
      return undefined;
    const { gfn } = error.facts;
    if (gfn !== undefined) return `${unmappedWords(gfn * PAGE_BYTES)}, so no watchpoint can be set on it`;
    return this.#isRunning && this.maxEntries !== undefined ? error.message : undefined;
  }

  missed(events: number): void {
    this.#missedWrites.missed(events, this.#isToNote);
  }
}
