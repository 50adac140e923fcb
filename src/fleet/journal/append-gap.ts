/** Says after the last segment of a session that its process was ended, and an unknown number of events may be missing. */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { COMPLETE, gapLine, OPEN, type SegmentFacts, segmentLine, segmentName, syncFolder } from './segment.ts';
import { linesOf } from './read-segment.ts';
import { writeSynced } from './write-synced.ts';

/** No process writes this number, nor so many lines before it. */
const LAST = 99_999_999;
const LINES = 2 ** 48;

export function appendGap(folder: string, facts: SegmentFacts, reason: string): void {
  const path = join(folder, segmentName(facts, LAST));
  writeSynced(`${path}${OPEN}`, segmentLine(facts, LAST, LINES) + gapLine(null, reason));
  renameSync(`${path}${OPEN}`, `${path}${COMPLETE}`);
  syncFolder(folder);
}

/** The same for a session whose last segment this is, unless that ends regularly. */
export function appendGapAfter(folder: string, segment: string, reason: string): void {
  const last = [...linesOf(segment)].at(-1);
  if (last === undefined || last.fields['kind'] === 'end') return;
  const { host, vm, boot, session, after } = last.place;
  appendGap(folder, { host, vm, boot, session, started: new Date(after / 1000).toISOString() }, reason);
}
