/** One line for events that are alike: an exit of a hundred pages is a line for each area. */
import { hex } from '../../core/address/va.ts';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { bytesText, entryName, rowOf } from '../../sinks/console/event-row.ts';
import type { Row } from '../../sinks/console/row-layout.ts';

const PAGE_BYTES = 4096;

/** Pages that an event covers. */
export function pagesOf(event: MonitorEvent): number {
  return 'pages' in event ? event.pages : 1;
}

/** The row of a single event; of several the first address and the sum of their pages. */
export function rowOfAlike(events: readonly MonitorEvent[], wide: boolean): Row {
  const first = events[0]!;
  const row = rowOf(first, wide);
  if (events.length === 1 || first.kind === 'root-gone') return row;
  const pages = events.reduce((sum, event) => sum + pagesOf(event), 0);
  const small = events.every((event) => !('pageSize' in event) || event.pageSize === PAGE_BYTES);
  const size = small ? `${pages}×4K` : bytesText(pages * PAGE_BYTES);
  return { ...row, va: `${hex(first.va)}…`, size, why: whyOfAlike(events, wide) ?? row.why };
}

/** `9 PTEs → 0x0`; undefined where one entry caused all of them. */
function whyOfAlike(events: readonly MonitorEvent[], wide: boolean): string | undefined {
  const entries = new Set(events.map(({ cause }) => cause?.entryPa));
  const { cause, vcpu } = events[0]!;
  if (entries.size === 1 || cause === null) return undefined;
  return `${entries.size} ${entryName(cause.level)}s ${fate(events)}${wide && vcpu !== null ? ` cpu${vcpu}` : ''}`;
}

function fate(events: readonly MonitorEvent[]): string {
  const [before, after] = [
    commonWord(events.map(({ cause }) => cause?.oldMeaning)),
    commonWord(events.map(({ cause }) => cause?.newMeaning)),
  ];
  if (after !== undefined) return `${before ?? ''} → ${after}`.trimStart();
  if (before !== undefined) return `← ${before}`;
  if (events.every(({ cause }) => cause?.newValue === 0n)) return '→ 0x0';
  return events.every(({ cause }) => cause?.oldValue === 0n) ? 'set' : 'changed';
}

/** `swap` of `swap 0:4711` and the like; undefined where the meanings begin with different words. */
function commonWord(meanings: readonly (string | undefined)[]): string | undefined {
  const words = new Set(meanings.map((meaning) => meaning?.split(' ')[0]));
  return words.size === 1 ? [...words][0] : undefined;
}
