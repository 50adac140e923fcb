/** How the time of a cliff row grows: at n, 2n and 4n, the fastest of several tries each. */
import { workedMs } from '../clock.ts';
import { collectGarbage } from '../garbage.ts';
import type { Cliff } from './cliffs.ts';

export interface Growth {
  readonly name: string;
  readonly title: string;
  readonly n: number;
  /** Milliseconds at n, 2n and 4n. */
  readonly ms: readonly [number, number, number];
  /** Time at 4n by time at n: 4 where it grows with n, 16 where it grows with its square. */
  readonly growth: number;
}

/** @param tries of each size; they take turns, so that a busy moment is shared */
export function measureGrowth(cliff: Cliff, tries: number): Growth {
  const { name, title, n, begin } = cliff;
  const ms: [number, number, number] = [Infinity, Infinity, Infinity];
  const take = (size: number): number => {
    const run = begin(size);
    collectGarbage();
    const start = workedMs();
    run();
    return workedMs() - start;
  };
  take(n);
  for (let turn = 0; turn < tries; turn++) {
    for (const [index, times] of [1, 2, 4].entries()) ms[index] = Math.min(ms[index]!, take(n * times));
  }
  return { name, title, n, ms, growth: ms[2] / ms[0] };
}
