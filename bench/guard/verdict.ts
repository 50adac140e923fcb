/** What the guard looks at, and what it makes of it. */

export interface GuardedRow {
  readonly row: string;
  /** Makes a slice about a millisecond. */
  readonly roundWrites: number;
}

export const GUARDED: readonly GuardedRow[] = [
  { row: 'monitor', roundWrites: 0 },
  { row: 'unmonitor', roundWrites: 0 },
  { row: 'flip', roundWrites: 1536 },
  { row: 'accessed-dirty', roundWrites: 1024 },
  { row: 'batch', roundWrites: 1536 },
  { row: 'unwatched', roundWrites: 1024 },
  { row: 'directory', roundWrites: 1536 },
  { row: 'resync', roundWrites: 1 << 14 },
];

/** By row: how fast the engine is, where the baseline is 1. */
export type Ratios = Readonly<Record<string, number>>;

/** The loss that is too much. */
export const TOLERATED_LOSS = 0.3;

export interface Verdict {
  readonly row: string;
  /** Of all attempts. */
  readonly best: number;
  /** Whether more was lost than is tolerated, every time. */
  readonly lost: boolean;
}

/** A row is lost when no attempt reached what is tolerated. */
export function judge(attempts: readonly Ratios[]): Verdict[] {
  return GUARDED.map(({ row }) => {
    const best = Math.max(...attempts.map((attempt) => attempt[row] ?? 0));
    return { row, best, lost: best < 1 - TOLERATED_LOSS };
  });
}
