/** Lines of columns, for widths of 80 and more: `fault + nginx[12]:heap  0x55d0c0a01000  0x1a3f000  4K  PTE 0x0 → …067`. */
import type { Ansis } from 'ansis';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { fit, fitPath, pad, widthOf } from '../text-width.ts';

/** From this width on, lines have room for whole entries and the vCPU. */
const WIDE_COLUMNS = 110;
const WHY_COLUMNS = { narrow: 15, wide: 52 };
/** Of the name of a process, before its area is left out. */
const MIN_PROCESS = 2;
/** Names of owners take no less and no more, however wide the terminal is. */
const WHO_COLUMNS = { least: 10, most: 32 };
/** A longer address takes its room from the owner. So do other values, where what is behind them would be cut: else it moves. */
const PA_COLUMNS = 11;
/** `512×4K`: all pages of a page table. */
const SIZE_COLUMNS = 6;

const SIGNS: Readonly<Record<MonitorEvent['kind'], string>> = {
  'page-in': '+',
  'page-out': '-',
  protection: '~',
  restructure: '=',
  'root-gone': 'x',
};

/** The cells of a line. */
export interface Row {
  readonly kind: MonitorEvent['kind'];
  /** The owner of the address: its tags or its root. */
  readonly who: string;
  readonly va: string;
  readonly pa: string;
  readonly size: string;
  readonly why: string;
}

export interface RowLayoutOptions {
  readonly colours: Ansis;
  /** Called for every line: the width of a terminal may change. */
  readonly columns: () => number;
  /** Width of the first column, whose text is an argument of `line`. */
  readonly leadColumns?: number;
  /** Width of virtual addresses. */
  readonly vaColumns?: number;
}

export class RowLayout {
  readonly colours: Ansis;
  readonly #columns: () => number;
  readonly #lead: number;
  readonly #va: number;

  constructor({ colours, columns, leadColumns = 0, vaColumns = 14 }: RowLayoutOptions) {
    this.colours = colours;
    this.#columns = columns;
    this.#lead = leadColumns;
    this.#va = vaColumns;
  }

  /** Whether lines have room for whole entries and the vCPU. */
  get wide(): boolean {
    return this.#columns() >= WIDE_COLUMNS;
  }

  /** One line, without its line feed. */
  line(row: Row, lead = ''): string {
    const { colours } = this;
    const paint = paintOf(row.kind, colours);
    const before = this.#lead === 0 ? '' : `${colours.cyan(fit(lead, this.#lead))} `;
    const rest = row.kind === 'root-gone' ? this.#ended(row) : this.#cells(row, paint, colours.dim);
    return `${before}${paint(SIGNS[row.kind])} ${rest}`.trimEnd();
  }

  /** The names of the columns. */
  heading(row: Omit<Row, 'kind'>, lead = ''): string {
    const plain = (text: string): string => text;
    const before = this.#lead === 0 ? '' : `${fit(lead, this.#lead)} `;
    return this.colours.dim(`${before}  ${this.#cells(row, plain, plain)}`.trimEnd());
  }

  /** Behind the sign. */
  get #room(): number {
    return this.#columns() - (this.#lead === 0 ? 0 : this.#lead + 1) - 2;
  }

  #cells(row: Omit<Row, 'kind'>, paintPa: (text: string) => string, paintWhy: (text: string) => string): string {
    const va = pad(row.va, this.#va);
    const excess = va.length - this.#va;
    const pa = pad(row.pa, PA_COLUMNS);
    const size = pad(row.size, SIZE_COLUMNS + PA_COLUMNS - pa.length);
    const free = this.#room - this.#va - PA_COLUMNS - SIZE_COLUMNS - 4;
    const whyReserve = this.wide ? WHY_COLUMNS.wide : WHY_COLUMNS.narrow;
    const regular = Math.min(WHO_COLUMNS.most, Math.max(WHO_COLUMNS.least, free - whyReserve));
    const moved = pa.length + size.length - PA_COLUMNS - SIZE_COLUMNS;
    const cut = Math.min(moved, Math.max(0, widthOf(row.why) + moved - (free - regular)));
    const whoColumns = Math.max(WHO_COLUMNS.least, regular - excess - cut);
    const why = fit(row.why, Math.max(0, free - excess - moved - whoColumns)).trimEnd();
    return `${fitWho(row.who, whoColumns)} ${va} ${paintPa(pa)} ${size} ${paintWhy(why)}`;
  }

  /** `sleep[316] ended`: what there was of its memory is told by page-outs. */
  #ended({ who, why }: Row): string {
    return `${fitWho(who, Math.max(WHO_COLUMNS.least, this.#room - why.length - 1)).trimEnd()} ${why}`;
  }
}

function paintOf(kind: MonitorEvent['kind'], colours: Ansis): (text: string) => string {
  switch (kind) {
    case 'page-in':
      return colours.green;
    case 'page-out':
    case 'root-gone':
      return colours.red;
    case 'protection':
    case 'restructure':
      return colours.yellow;
  }
}

/**
 * Exactly `width` columns. Of `redis-server[2]:/usr/lib/libc.so.6`, a path loses its beginning first, and then the name of the process its
 * end: PID and area matter most.
 */
export function fitWho(text: string, width: number): string {
  if (widthOf(text) <= width) return pad(text, width);
  const [, process = '', pid = '', area = ''] = /^([^]*?)(\[\d+\])?(:[^]*)?$/.exec(text) ?? [];
  const path = area.startsWith(':/') ? area.slice(1) : '';
  const room = width - widthOf(pid) - (path === '' ? 0 : 1);
  const shortest =
    path === ''
      ? area
      : `:${fitPath(path, Math.max(widthOf(path.slice(path.lastIndexOf('/'))) + 1, room - widthOf(process)))}`;
  const head = width - widthOf(pid + shortest);
  if (pid === '') return fit(text, width);
  // Where the area does not fit either, the PID stays: it tells one process from another.
  const end = head < MIN_PROCESS ? pid : pid + shortest;
  const start = Math.max(1, Math.min(width - widthOf(end), widthOf(process)));
  return fit(process, start) + pad(end, width - start);
}
