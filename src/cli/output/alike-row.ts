/** One line for events that are alike: an exit of a hundred pages is a line for each area. */
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
  if (first.kind === 'root-gone') return row;
  const why = whyOfAlike(events, wide) ?? row.why;
  if (events.length === 1) return entriesBehind(first) === 1 ? row : { ...row, va: `${row.va}…`, why };
  const pages = events.reduce((sum, event) => sum + pagesOf(event), 0);
  const small = events.every((event) => !('pageSize' in event) || event.pageSize === PAGE_BYTES);
  const size = small ? `${pages}×4K` : bytesText(pages * PAGE_BYTES);
  return { ...row, va: `${row.va}…`, size, why };
}

/** A run of pages has an entry for each leaf if those changed, and one for all if the table above them did. */
function entriesBehind(event: MonitorEvent): number {
  if (event.cause === null || !('pageSize' in event)) return 1;
  const { pageSize, cause } = event;
  // Pages of 4K, of 2M or 4M, of 1G.
  const leafLevel = pageSize === PAGE_BYTES ? 1 : pageSize < 2 ** 30 ? 2 : 3;
  return cause.level === leafLevel ? Math.max(1, Math.round((pagesOf(event) * PAGE_BYTES) / pageSize)) : 1;
}

/** `9 PTEs → 0x0`; undefined where one entry caused all of them. */
function whyOfAlike(events: readonly MonitorEvent[], wide: boolean): string | undefined {
  const entries = new Map(events.map((event) => [event.cause?.entryPa, entriesBehind(event)]));
  const count = [...entries.values()].reduce((sum, each) => sum + each, 0);
  const { cause, vcpu, kind } = events[0]!;
  if (count === 1 || cause === null || (events.length === 1 && kind === 'protection')) return undefined;
  // Of a run, the event has the first entry only.
  const what = count === entries.size ? fate(events) : kind === 'page-in' ? 'set' : 'changed';
  return `${count} ${entryName(cause.level)}s ${what}${wide && vcpu !== null ? ` cpu${vcpu}` : ''}`;
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
