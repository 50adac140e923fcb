/** Says after the last segment of a session that its process was ended, and an unknown number of events may be missing. */
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { COMPLETE, gapLine, OPEN, type SegmentFacts, segmentLine, segmentName, syncFolder } from './segment.ts';
import { factsOf, type JournalLine, linesOf } from './read-segment.ts';
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

/**
 * Segments that are open.
 *
 * @param session defaults to all
 * @returns their paths
 */
export function openSegments(folder: string, session = ''): readonly string[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => name.endsWith(OPEN) && name.includes(`.${session}`));
  return names.map((name) => join(folder, name));
}

/**
 * Completes what a process has left open when it was killed, and says so behind it, unless its last line is the end. No process may still
 * write to it. The gap is on the disk before the segment has its name: where the disk is full, the segment stays open for the next try.
 *
 * @throws the error of a file system that is full or broken: call it again later
 */
export function completeLeftOver(paths: readonly string[], reason: string): void {
  for (const path of paths) {
    if (!existsSync(path)) continue;
    const facts = factsOf(path);
    let last: JournalLine | undefined;
    for (const line of linesOf(path)) last = line;
    if (facts !== undefined && last?.fields['kind'] !== 'end') {
      const started = last === undefined ? facts.started : new Date(last.place.after / 1000).toISOString();
      appendGap(dirname(path), { ...facts, started }, reason);
    }
    syncFile(path);
    renameSync(path, path.slice(0, -'.open'.length));
    syncFolder(dirname(path));
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, 'r+');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
