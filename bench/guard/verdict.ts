/** What the guard looks at, and what it makes of it. */
import type { ReferenceKind } from './references.ts';

export interface GuardedRow {
  readonly row: string;
  readonly reference: ReferenceKind;
  /** Makes a slice about a millisecond. */
  readonly roundWrites: number;
}

export const GUARDED: readonly GuardedRow[] = [
  { row: 'monitor', reference: 'records', roundWrites: 0 },
  { row: 'unmonitor', reference: 'records', roundWrites: 0 },
  { row: 'flip', reference: 'events', roundWrites: 1536 },
  { row: 'accessed-dirty', reference: 'look-ups', roundWrites: 1024 },
  { row: 'batch', reference: 'events', roundWrites: 1536 },
  { row: 'unwatched', reference: 'look-ups', roundWrites: 1024 },
  { row: 'directory', reference: 'events', roundWrites: 1536 },
  { row: 'resync', reference: 'look-ups', roundWrites: 1 << 14 },
];

/** By row: how fast the engine is, where the reference is 1. */
export type Ratios = Readonly<Record<string, number>>;

/** The loss that is too much. */
export const TOLERATED_LOSS = 0.3;

export interface Verdict {
  readonly row: string;
  readonly baseline: number;
  /** Of all attempts. */
  readonly best: number;
  /** Share of the baseline's speed that is lost; below 0 where speed was won. */
  readonly loss: number;
  /** Whether that was more than is tolerated, every time. */
  readonly lost: boolean;
}

/** A row is lost when no attempt reached what is tolerated. */
export function judge(baseline: Ratios, attempts: readonly Ratios[]): Verdict[] {
  return Object.entries(baseline).map(([row, expected]) => {
    const best = Math.max(...attempts.map((attempt) => attempt[row] ?? 0));
    const loss = 1 - best / expected;
    return { row, baseline: expected, best, loss, lost: loss > TOLERATED_LOSS };
  });
}
