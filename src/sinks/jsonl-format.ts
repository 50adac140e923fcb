/** The lines of docs/formats/jsonl.md. Addresses and entry values are strings, because JSON numbers are exact only up to 2^53. */
import { hex } from '../core/address/va.ts';
import type { EventTime, MonitorEvent } from '../core/monitor/events.ts';
import type { SourceInfo, Summary, WatchChange } from './sink.ts';

/** The version of the format. It changes when the meaning of a line changes, not when a field is added. */
export const JSONL_VERSION = 1;

/** The options that the events depend on. */
export type HeaderOptions = Readonly<Record<string, string | number | boolean>>;

export function headerLine(version: string, source: SourceInfo, options: HeaderOptions = {}): string {
  return line('header', { ptmon: version, source: source.source, mode: source.mode, kinds: source.kinds, options });
}

/**
 * @param seq number of the event in this stream, from 0
 * @param withTime whether the line says when the guest stopped
 */
export function eventLine(event: MonitorEvent, seq: number, withTime = false): string {
  const { cause, pid, comm, map } = event;
  return line(event.kind, {
    seq,
    view: event.view,
    root: hex(event.root),
    va: hex(event.va),
    ...ownFields(event),
    tags: event.tags,
    ...(pid !== undefined && { pid }),
    ...(comm !== undefined && { comm }),
    ...(map !== undefined && { map }),
    vcpu: event.vcpu,
    cause: cause && {
      entryPa: hex(cause.entryPa),
      level: cause.level,
      oldValue: hex(cause.oldValue),
      newValue: hex(cause.newValue),
      ...(cause.oldMeaning !== undefined && { oldMeaning: cause.oldMeaning }),
      ...(cause.newMeaning !== undefined && { newMeaning: cause.newMeaning }),
    },
    ...(withTime && event.time !== undefined && timeOf(event.time)),
  });
}

export function droppedLine(count: number): string {
  return line('dropped', { count });
}

/** A watch that begins or ends, with what is backed then. */
export function watchLine({ kind, view, root, va, pages, tags, backed, time }: WatchChange, withTime = false): string {
  return line(kind, {
    ...(view !== undefined && { view }),
    ...(root !== undefined && { root: hex(root) }),
    ...(va !== undefined && { va: hex(va) }),
    ...(pages !== undefined && { pages }),
    tags,
    backed: backed.map((run) => ({ va: hex(run.va), pa: hex(run.pa), pageSize: run.pageSize, ...runOf(run) })),
    ...(withTime && timeOf(time)),
  });
}

function timeOf({ us, at }: EventTime): object {
  return { time: { us, ...(at !== undefined && { at }) } };
}

export function endLine(summary: Summary): string {
  const { ended, failure, ...statistics } = summary;
  return line('end', { ended, ...(failure && { failure }), ...statistics });
}

function line(kind: string, fields: object): string {
  return `${escaped(JSON.stringify({ v: JSONL_VERSION, kind, ...fields }))}\n`;
}

/**
 * Escapes what JSON allows and a terminal or a reader of lines takes for something else: controls (U+009B begins a sequence as ESC does), bidi
 * and other format characters, separators of lines and paragraphs. A guest chooses names.
 */
export function escaped(json: string): string {
  return json.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
  });
}

function ownFields(event: MonitorEvent): object {
  switch (event.kind) {
    case 'page-in':
    case 'page-out':
      return { pa: hex(event.pa), pageSize: event.pageSize, ...runOf(event) };
    case 'protection':
      return {
        pa: hex(event.pa),
        pageSize: event.pageSize,
        oldRights: event.oldRights,
        newRights: event.newRights,
        ...runOf(event),
      };
    case 'restructure':
      return { pa: hex(event.pa), pageSize: event.pageSize, oldPageSize: event.oldPageSize, ...runOf(event) };
    case 'root-gone':
      return runOf(event);
  }
}

/** Events of one page omit the count. */
function runOf({ pages }: { pages: number }): object {
  return pages > 1 ? { pages } : {};
}
