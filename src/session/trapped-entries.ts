/** Which entries a source traps: listed anew only where the monitored ones, or a system's words, have changed. */
import type { PageTableMonitor } from '../core/monitor/page-table-monitor.ts';
import { areSame, joined } from '../core/struct/address-list.ts';

export interface EntryLists {
  /** The monitored ones. */
  readonly all: Float64Array;
  /** Those to trap, and a system's words. */
  readonly trapped: Float64Array;
  /** At most one list: entries that are only compared. */
  readonly untrapped: readonly Float64Array[];
}

export class TrappedEntries {
  readonly #monitor: PageTableMonitor;
  #version = -1;
  #words: Float64Array | undefined;
  #lists: EntryLists | undefined;

  constructor(monitor: PageTableMonitor) {
    this.#monitor = monitor;
  }

  /** Whether the monitored entries are those of the last lists. */
  get areCurrent(): boolean {
    return this.#version === this.#monitor.entryVersion;
  }

  /**
   * The same arrays as before where nothing has changed.
   *
   * @param maxEntries `EntryTraps.maxEntries`
   * @param words of a system's, trapped as well
   */
  lists(maxEntries: number, words: Float64Array | undefined): EntryLists {
    const { entryVersion } = this.#monitor;
    if (this.#lists !== undefined && this.#version === entryVersion && areSame(words, this.#words)) return this.#lists;
    this.#version = entryVersion;
    this.#words = words?.slice();
    this.#lists = this.#list(maxEntries, words);
    return this.#lists;
  }

  #list(maxEntries: number, words: Float64Array | undefined): EntryLists {
    const monitor = this.#monitor;
    const all = monitor.entryAddresses();
    const isTooDeep = monitor.paging.levels.length > maxEntries;
    const walked = isTooDeep ? monitor.entryAddresses({ levels: 'below-top' }) : all;
    const trapped = words === undefined ? walked : joined(walked, words);
    return { all, trapped, untrapped: isTooDeep ? [monitor.entryAddresses({ levels: 'top' })] : [] };
  }
}
