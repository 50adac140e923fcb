/**
 * Physical memory as the core reads it: one entry at a time, synchronously.
 *
 * Local memory always returns a value or "no memory". Remote memory may return "not fetched yet": the core then collects every
 * address that it misses, changes nothing, and is called again once they are there (`PageCache`).
 */

/** The entry is in `out`. */
export const READ_OK = 0;
/** The address is not RAM. */
export const READ_NO_MEMORY = 1;
/** The address may be RAM, but its content is not here yet. */
export const READ_NOT_FETCHED = 2;

export type ReadOutcome = typeof READ_OK | typeof READ_NO_MEMORY | typeof READ_NOT_FETCHED;

export interface PhysicalMemory {
  /**
   * Reads one page-table entry. The read is atomic: an entry that is being written is seen whole, before or after.
   *
   * @param pa physical address of the entry, aligned to `byteLength`
   * @param byteLength 8, or 4 in legacy 32-bit paging
   * @param out receives bits 31:0 in `out[0]` and bits 63:32 in `out[1]` (0 for 4 bytes); untouched unless `READ_OK`
   * @throws when the source fails; the caller then changes nothing and may try again
   */
  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome;
  /**
   * Where the guest runs while its memory is read: whether these entries still have the values that `readEntry` returned. Where one
   * has not, a table that was reached through it may have been something else when it was read: the core drops the plan and reads
   * everything again. So that this ends, returns true after a number of times that only a hostile guest reaches.
   *
   * @param entries physical addresses
   * @throws as `readEntry`
   */
  stillHolds?(entries: Iterable<number>, byteLength: 4 | 8): boolean;
}
