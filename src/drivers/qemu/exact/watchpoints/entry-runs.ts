/** Neighbouring entries as runs of bytes: one watchpoint each, however many entries it spans. */
import { PAGE_BYTES } from '../../../../core/address/pa.ts';

export interface EntryRun {
  readonly pa: number;
  readonly byteLength: number;
}

/** Ascending; no run leaves its frame, whose neighbour may lie elsewhere in virtual memory. */
export function entryRuns(entries: Float64Array, entryByteLength: number): EntryRun[] {
  const runs: EntryRun[] = [];
  const sorted = entries.slice().sort();
  let start = 0;
  for (let index = 1; index <= sorted.length; index++) {
    const last = sorted[index - 1]!;
    const next = sorted[index];
    const goesOn = next === last || (next === last + entryByteLength && next % PAGE_BYTES !== 0);
    if (goesOn) continue;
    runs.push({ pa: sorted[start]!, byteLength: last + entryByteLength - sorted[start]! });
    start = index;
  }
  return runs;
}

/** Each entry by itself, once. */
export function singleEntries(entries: Float64Array, entryByteLength: number): EntryRun[] {
  return [...new Set(entries)].map((pa) => ({ pa, byteLength: entryByteLength }));
}
