/** Events as CSV (RFC 4180): one line each, with the time. */
import { hex } from '../core/address/va.ts';
import type { MonitorEvent } from '../core/monitor/events.ts';
import type { Sink } from './sink.ts';
import type { TextOutput } from './text-output.ts';

const COLUMNS = 'time_us,kind,view,root,va,pa,page_size,pages,tags,vcpu,entry_pa,level,old_value,new_value';

/** @param timeUs returns the time of the recording, in microseconds */
export function csvSink(output: TextOutput, timeUs: () => number): Sink {
  return {
    begin: () => output.write(`${COLUMNS}\r\n`),
    write: (event) => output.write(`${cellsOf(event, timeUs()).map(quoted).join(',')}\r\n`),
    end: () => output.flush(),
  };
}

function cellsOf(event: MonitorEvent, timeUs: number): (string | number)[] {
  const { kind, view, root, va, tags, vcpu, cause } = event;
  return [
    timeUs,
    kind,
    view,
    hex(root),
    hex(va),
    'pa' in event ? hex(event.pa) : '',
    'pageSize' in event ? event.pageSize : '',
    'pages' in event ? event.pages : 1,
    tags.join(' '),
    vcpu ?? '',
    ...(cause ? [hex(cause.entryPa), cause.level, hex(cause.oldValue), hex(cause.newValue)] : ['', '', '', '']),
  ];
}

/** Spreadsheets take a cell that begins like this for a formula; a quotation mark before it makes it text. */
export function quoted(cell: string | number): string {
  const text = typeof cell === 'string' && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
