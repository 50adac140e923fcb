/**
 * Watchpoints on the monitored entries, as the walks change.
 *
 * Under TCG neighbouring entries share a watchpoint: QEMU looks through its list of watchpoints at every slow store and every fill of
 * its TLB, and all entries are compared at a stop anyway. A debug register covers one entry.
 */
import { areSame } from '../../../../core/struct/address-list.ts';
import type { EntryTraps } from '../../../../driver/driver.ts';
import { entryRuns, singleEntries } from './entry-runs.ts';
import { RangeWatchpoints, type RangeWatchpointsOptions } from './range-watchpoints.ts';

/** Equals nothing. */
const UNKNOWN = Float64Array.of(Number.NaN);

export class EntryWatchpoints extends RangeWatchpoints implements EntryTraps {
  readonly maxEntries?: number;
  readonly #areRegisters: boolean;
  #entries = new Float64Array();
  /** The array that they were given in. */
  #given: Float64Array = this.#entries;

  constructor(options: RangeWatchpointsOptions) {
    super(options);
    this.#areRegisters = options.limits.areRegisters;
    if (this.#areRegisters) this.maxEntries = options.limits.max;
  }

  async setEntries(entries: Float64Array, entryByteLength: 4 | 8): Promise<void> {
    // The same array: nothing has changed, and there may be a million.
    if (entries === this.#given || areSame(entries, this.#entries)) {
      this.#given = entries;
      return;
    }
    this.#forget();
    await this.set(this.#areRegisters ? singleEntries(entries, entryByteLength) : entryRuns(entries, entryByteLength));
    this.#entries = entries.slice();
    this.#given = entries;
  }

  /** Where there are new aliases, the next `setEntries` sets watchpoints there too. @returns whether there are */
  forgetMoved(): boolean {
    if (!this.lacksAliases()) return false;
    this.#forget();
    return true;
  }

  /** Traps nothing, until the entries are set again. */
  async clear(): Promise<void> {
    this.#forget();
    await this.set([]);
  }

  #forget(): void {
    this.#entries = UNKNOWN;
    this.#given = UNKNOWN;
  }
}
