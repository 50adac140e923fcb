/** Rounds of a row's work until enough time was measured. */
import { workedMs } from './clock.ts';
import type { Work } from './rows/work.ts';

/** Writes of one round: a fiftieth of a second at a million a second. */
export const ROUND_WRITES = 1 << 14;

export interface Measured {
  /** Operations per second of all timed rounds together, garbage collection among them. */
  readonly rate: number;
  readonly rounds: number;
}

/**
 * @param warmUpMs timed milliseconds that are not counted: the engine's code is compiled in them
 * @param measureMs timed milliseconds that are
 */
export function measureRate(work: Work, warmUpMs: number, measureMs: number): Measured {
  repeat(work, warmUpMs);
  const { operations, ms, rounds } = repeat(work, measureMs);
  return { rate: (operations / ms) * 1000, rounds };
}

interface Repeated {
  readonly operations: number;
  readonly ms: number;
  readonly rounds: number;
}

/**
 * At least one round. Preparing may take longer than what it is for: rounds end, at the latest, after ten times the time
 * that was asked for.
 */
export function repeat(work: Work, forMs: number): Repeated {
  const begun = performance.now();
  let [operations, ms, rounds] = [0, 0, 0];
  do {
    work.prepare();
    const start = workedMs();
    operations += work.run();
    ms += workedMs() - start;
    work.finish?.();
    rounds++;
  } while (ms < forMs && performance.now() - begun < 10 * forMs);
  return { operations, ms, rounds };
}
