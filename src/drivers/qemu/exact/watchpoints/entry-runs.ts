/** Neighbouring entries as runs of bytes: one watchpoint each, however many entries it spans. */
import { PAGE_BYTES } from '../../../../core/address/pa.ts';

export interface EntryRun {
  readonly pa: number;
  readonly byteLength: number;
}

/** Ascending; no run leaves its frame, whose neighbour may lie elsewhere in virtual memory. */
export function entryRuns(entries: Float64Array, entryByteLength: number): EntryRun[] {
  // Most come table by table: few runs are to be sorted then, and not a million entries.
  const given: EntryRun[] = [];
  let start = 0;
  for (let index = 1; index <= entries.length; index++) {
    const next = entries[index - 1]! + entryByteLength;
    if (entries[index] === next && next % PAGE_BYTES !== 0) continue;
    given.push({ pa: entries[start]!, byteLength: next - entries[start]! });
    start = index;
  }
  return merged(given.sort((a, b) => a.pa - b.pa));
}

/** Runs that overlap or follow each other in a frame, as one. */
function merged(sorted: readonly EntryRun[]): EntryRun[] {
  const runs: EntryRun[] = [];
  for (const run of sorted) {
    const last = runs.at(-1);
    const end = last === undefined ? -1 : last.pa + last.byteLength;
    if (run.pa > end || (run.pa === end && end % PAGE_BYTES === 0)) runs.push(run);
    else runs[runs.length - 1] = { pa: last!.pa, byteLength: Math.max(end, run.pa + run.byteLength) - last!.pa };
  }
  return runs;
}

/** Each entry by itself, once. */
export function singleEntries(entries: Float64Array, entryByteLength: number): EntryRun[] {
  return [...new Set(entries)].map((pa) => ({ pa, byteLength: entryByteLength }));
}
