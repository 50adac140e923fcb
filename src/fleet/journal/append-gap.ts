/** Says after the last segment of a session that its process was ended, and an unknown number of events may be missing. */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { COMPLETE, gapLine, OPEN, type SegmentFacts, segmentLine, segmentName, syncFolder } from './segment.ts';

/** No process writes this number. */
const LAST = 99_999_999;

export function appendGap(folder: string, facts: SegmentFacts, reason: string): void {
  const path = join(folder, segmentName(facts, LAST));
  const fd = openSync(`${path}${OPEN}`, 'wx');
  try {
    writeSync(fd, segmentLine(facts, LAST) + gapLine(null, reason));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}${OPEN}`, `${path}${COMPLETE}`);
  syncFolder(folder);
}
