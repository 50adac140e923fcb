/** Counts pages in and out: by process, and by a second key. */
import { hex } from '../../core/address/va.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { pagesOf } from './alike-row.ts';

export interface InOut {
  in: number;
  out: number;
}

export class PageTally {
  readonly byProcess = new Map<string, InOut>();
  readonly byKey = new Map<string, InOut>();

  add(event: MonitorEvent, key: string): void {
    if (event.kind !== 'page-in' && event.kind !== 'page-out') return;
    const direction = event.kind === 'page-in' ? 'in' : 'out';
    for (const [map, name] of [
      [this.byProcess, processOf(event)],
      [this.byKey, key],
    ] as const) {
      const sums = map.get(name) ?? { in: 0, out: 0 };
      sums[direction] += pagesOf(event);
      map.set(name, sums);
    }
  }
}

/** `nginx[12]` for `nginx[12]:heap`: the part of the first tag before its colon, or the root where there is no tag. */
export function processOf({ tags, root }: MonitorEvent): string {
  const tag = tags[0];
  return tag === undefined ? `root ${hex(root)}` : String(tag).replace(/:.*$/s, '');
}

/** The largest sums first, at most `lines`; the last line is the sum of the rest. */
export function largest(sums: ReadonlyMap<string, InOut>, lines: number): [name: string, sums: InOut][] {
  const sorted = [...sums].sort(([, a], [, b]) => b.in + b.out - (a.in + a.out));
  if (sorted.length <= lines) return sorted;
  const rest = { in: 0, out: 0 };
  for (const [, one] of sorted.slice(lines - 1)) {
    rest.in += one.in;
    rest.out += one.out;
  }
  return [...sorted.slice(0, lines - 1), [`${sorted.length - lines + 1} others`, rest]];
}
