/**
 * A segment: a file of events of one VM. Its first line says of which, the others are those of docs/formats/jsonl.md. A segment is
 * complete when it is named `*.jsonl`; until then it is named `*.jsonl.open`.
 */
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { fileName } from './file-name.ts';

export interface SegmentFacts {
  readonly host: string;
  readonly vm: string;
  /** Differs each time that the VM starts. */
  readonly boot: string;
  /** Differs each time that the agent begins to watch it. */
  readonly session: string;
  /** ISO 8601: when the session began. */
  readonly started: string;
}

export const COMPLETE = '.jsonl';
export const OPEN = '.jsonl.open';

/** @param before how many lines the segments of the session before it have */
export function segmentLine(facts: SegmentFacts, number: number, before: number): string {
  return `${JSON.stringify({ v: 1, kind: 'segment', ...facts, number, before })}\n`;
}

/** @param count of the events that are missing from here on; null where it is unknown */
export function gapLine(count: number | null, reason: string, at = new Date()): string {
  return `${JSON.stringify({ v: 1, kind: 'gap', count, reason, time: { at: at.toISOString() } })}\n`;
}

/** Sorts as the segments follow each other. */
export function segmentName({ vm, session }: SegmentFacts, number: number): string {
  return `${fileName(vm)}.${session}.${String(number).padStart(8, '0')}`;
}

/** Makes the name of a complete file durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
