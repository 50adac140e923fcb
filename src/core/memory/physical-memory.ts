/**
 * What the core asks of physical memory: one entry at a time, answered at once.
 *
 * Local memory always answers with a value or with "no memory". Remote memory may answer "not fetched yet": the core then
 * collects every address that it misses, changes nothing, and is called again once they are there (`PageCache`).
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
   * Where the guest runs while its memory is read: whether these entries are in memory as `readEntry` answered. A table that was
   * reached by one that is not may have been anything else when it was read; where any is not, what was read is forgotten, and
   * everything is to be read anew. So that this ends, it answers true after a number of times that no guest but a hostile one reaches.
   *
   * @param entries physical addresses
   * @throws as `readEntry`
   */
  stillHolds?(entries: Iterable<number>, byteLength: 4 | 8): boolean;
}
