/** Events a second over time, for the chart. */
import type { EventKind, Step } from './scene.ts';

export interface Rates {
  /** Seconds: the middle of each interval. */
  readonly seconds: readonly number[];
  readonly pagesIn: readonly number[];
  readonly pagesOut: readonly number[];
  readonly others: readonly number[];
}

/** How often something of each kind happened in a step. */
export function countsOf({ events, counts }: Step): Partial<Record<EventKind, number>> {
  if (counts !== undefined) return counts;
  const found: Partial<Record<EventKind, number>> = {};
  for (const { kind, pages } of events) found[kind] = (found[kind] ?? 0) + (kind === 'root-gone' ? 1 : pages);
  return found;
}

/** @param bins intervals of equal length from `fromMs` to `toMs` */
export function ratesOf(steps: readonly Step[], fromMs: number, toMs: number, bins: number): Rates {
  const width = Math.max(1, toMs - fromMs) / bins;
  const zeros = () => Array.from({ length: bins }, () => 0);
  const [pagesIn, pagesOut, others] = [zeros(), zeros(), zeros()];
  for (const step of steps) {
    if (step.timeMs < fromMs || step.timeMs > toMs) continue;
    const bin = Math.min(bins - 1, Math.floor((step.timeMs - fromMs) / width));
    const counts = countsOf(step);
    pagesIn[bin]! += counts['page-in'] ?? 0;
    pagesOut[bin]! += counts['page-out'] ?? 0;
    others[bin]! += (counts.protection ?? 0) + (counts.restructure ?? 0) + (counts['root-gone'] ?? 0);
  }
  const perSecond = (values: readonly number[]) => values.map((value) => (value * 1000) / width);
  const seconds = Array.from({ length: bins }, (_, bin) => (fromMs + (bin + 0.5) * width) / 1000);
  return { seconds, pagesIn: perSecond(pagesIn), pagesOut: perSecond(pagesOut), others: perSecond(others) };
}
