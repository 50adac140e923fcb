/** Pages in and out, by process and by what the guest was doing. */
import { hex } from '../../../core/address/va.ts';
import type { MonitorEvent } from '../../../core/monitor/events.ts';
import { pagesOf } from './event-groups.ts';

export interface InOut {
  in: number;
  out: number;
}

export class DemoTally {
  readonly byProcess = new Map<string, InOut>();
  readonly byAction = new Map<string, InOut>();

  add(event: MonitorEvent, action: string): void {
    if (event.kind !== 'page-in' && event.kind !== 'page-out') return;
    const direction = event.kind === 'page-in' ? 'in' : 'out';
    for (const [map, key] of [
      [this.byProcess, processOf(event)],
      [this.byAction, action],
    ] as const) {
      const sums = map.get(key) ?? { in: 0, out: 0 };
      sums[direction] += pagesOf(event);
      map.set(key, sums);
    }
  }
}

/** `nginx[12]` for `nginx[12]:heap`: what stands before the colon of the first tag; the root where there is no tag. */
export function processOf({ tags, root }: MonitorEvent): string {
  const tag = tags[0];
  return tag === undefined ? `root ${hex(root)}` : String(tag).replace(/:.*$/s, '');
}

/** The largest first, as many as there are lines for; the last line speaks for the rest. */
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
