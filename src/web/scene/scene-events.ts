/** Events of the monitor as the page shows them. */
import { gfnOf } from '../../core/address/pa.ts';
import { hex, vpnOf } from '../../core/address/va.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { rowOf } from '../../sinks/console/event-row.ts';
import { printable } from '../../sinks/printable.ts';
import type { EventKind, SceneEvent } from '../picture/scene.ts';

/** @param space index of the event's address space */
export function sceneEvent(event: MonitorEvent, space: number): SceneEvent {
  const { who, why } = rowOf(event, false);
  const isBacked = event.kind !== 'root-gone';
  return {
    kind: event.kind,
    space,
    vpn: vpnOf(event.va),
    pages: event.pages,
    gfn: isBacked ? gfnOf(event.pa) : -1,
    pageSize: isBacked ? event.pageSize : 0,
    who,
    why,
    vcpu: event.vcpu,
  };
}

/** `workload[81]` and `heap` of the tags of an event, whether they are two tags or one. */
export function namesOf({ root, tags }: Pick<MonitorEvent, 'root' | 'tags'>): { space: string; area: string } {
  const text = printable(tags.join(':'));
  const match = /^([^:]*\[\d+\])(?::(.*))?$/s.exec(text);
  return match === null ? { space: `root ${hex(root)}`, area: text } : { space: match[1]!, area: match[2] ?? '' };
}

/** The PID in `nginx[12]`; null where there is none. */
export function pidIn(space: string): number | null {
  const match = /\[(\d+)\]$/.exec(space);
  return match === null ? null : Number(match[1]);
}

/** Pages of the events of a step, by kind; of `root-gone`, events. */
export function countEvents(events: readonly MonitorEvent[], counts: Partial<Record<EventKind, number>> = {}) {
  for (const { kind, pages } of events) counts[kind] = (counts[kind] ?? 0) + (kind === 'root-gone' ? 1 : pages);
  return counts;
}

/** Whether the event says that its page went to a swap device. */
export function isSwapOut({ kind, cause }: MonitorEvent): boolean {
  return kind === 'page-out' && cause?.newMeaning?.startsWith('swap ') === true;
}

/** Whether the event says that its page came from a swap device. */
export function isSwapIn({ kind, cause }: MonitorEvent): boolean {
  return kind === 'page-in' && cause?.oldMeaning?.startsWith('swap ') === true;
}
