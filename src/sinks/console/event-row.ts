/** An event as the cells of a line of text. */
import { hex } from '../../core/address/va.ts';
import type { Cause, MonitorEvent, RootGoneEvent } from '../../core/monitor/events.ts';
import type { Rights } from '../../core/paging/rights.ts';
import { printable } from '../printable.ts';
import type { Row } from './row-layout.ts';

const PAGE_BYTES = 4096;

/** The names of entries by the level of their table, as in the SDM. */
const ENTRY_NAMES = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E', 'PML5E'];

type BackedEvent = Exclude<MonitorEvent, RootGoneEvent>;

/** @param wide whether the line has room for whole entries and the vCPU */
export function rowOf(event: MonitorEvent, wide: boolean): Row {
  if (event.kind === 'root-gone') return endOf(event);
  return {
    kind: event.kind,
    who: whoText(event),
    va: hex(event.va),
    pa: hex(event.pa),
    size: sizeText(event),
    why: whyText(event, wide),
  };
}

/** `sleep[316] ended`, for all areas of the process; for other tags, or without tags, `root 0x1234000 gone`. */
function endOf(event: RootGoneEvent): Row {
  const process = /^[^:]*\[\d+\]/.exec(String(event.tags[0] ?? ''))?.[0];
  const who = whoText(process === undefined ? event : { ...event, tags: [process] });
  return { kind: event.kind, who, va: '', pa: '', size: '', why: process === undefined ? 'gone' : 'ended' };
}

/** A size in the largest unit that divides it. */
export function bytesText(byteLength: number): string {
  for (const [unit, name] of [
    [2 ** 30, 'G'],
    [2 ** 20, 'M'],
    [2 ** 10, 'K'],
  ] as const) {
    if (byteLength >= unit && byteLength % unit === 0) return `${byteLength / unit}${name}`;
  }
  return `${byteLength}B`;
}

/** `PTE` for level 1. */
export function entryName(level: number): string {
  return ENTRY_NAMES[level] ?? `level ${level} entry`;
}

/** `nginx[12]:heap` for the tags `nginx[12]` and `heap` of a process, and for that tag alone; else the tags, or the root. */
function whoText({ tags, root, view }: Pick<MonitorEvent, 'tags' | 'root' | 'view'>): string {
  const isProcess = /\[\d+\]$/.test(String(tags[0]));
  const who = tags.length > 0 ? printable(tags.join(isProcess ? ':' : ',')) : `root ${hex(root)}`;
  return view === 0 ? who : `${who} view ${view}`;
}

/** `4K`, `12×4K`, `2M` for all of a large page, `37×4K/2M` for a part of one. */
function sizeText(event: BackedEvent): string {
  const leaf = bytesText(event.pageSize);
  const pages = 'pages' in event ? event.pages : 1;
  if (pages === 1) return leaf;
  const leaves = (pages * PAGE_BYTES) / event.pageSize;
  if (!Number.isInteger(leaves)) return `${pages}×4K/${leaf}`;
  return leaves === 1 ? leaf : `${leaves}×${leaf}`;
}

function whyText(event: BackedEvent, wide: boolean): string {
  const vcpu = wide && event.vcpu !== null ? ` cpu${event.vcpu}` : '';
  const cause = event.cause === null ? 'root gone' : causeText(event.cause, wide) + vcpu;
  const change = changeText(event);
  if (change === undefined) return cause;
  return wide ? `${change}, ${cause}` : change;
}

/** What changed, for events that do not change the backing. */
function changeText(event: BackedEvent): string | undefined {
  if (event.kind === 'protection') return `${rightsText(event.oldRights)} → ${rightsText(event.newRights)}`;
  return event.kind === 'restructure' ? `was ${bytesText(event.oldPageSize)}` : undefined;
}

/** `PTE 0x0 → …067`: only the flags of a value with a frame, unless the line is wide; `PTE …067 → swap 0:12` if the system layer gives a meaning. */
function causeText(cause: Cause, wide: boolean): string {
  const value = (entry: bigint, meaning: string | undefined): string => {
    if (meaning !== undefined) return wide ? `${hex(entry)} (${meaning})` : meaning;
    return wide || entry < 0x1000n ? hex(entry) : `…${(entry & 0xfffn).toString(16).padStart(3, '0')}`;
  };
  const { oldValue, oldMeaning, newValue, newMeaning } = cause;
  return `${entryName(cause.level)} ${value(oldValue, oldMeaning)} → ${value(newValue, newMeaning)}`;
}

/** `rwxu`, a dash for a missing right, and the protection key unless it is 0. */
export function rightsText({ writable, user, noExecute, protectionKey }: Rights): string {
  const key = protectionKey === 0 ? '' : protectionKey;
  return `r${writable ? 'w' : '-'}${noExecute ? '-' : 'x'}${user ? 'u' : '-'}${key}`;
}
