/** Lines of columns that hold from 80 on: `fault + nginx[12]:heap  0x55d0c0a01000  0x1a3f000  4K  PTE 0x0 → …067`. */
import type { Ansis } from 'ansis';
import type { MonitorEvent } from '../core/monitor/events.ts';

/** From here on there is room for whole entries and the vCPU. */
const WIDE_COLUMNS = 110;
const WHY_COLUMNS = { narrow: 15, wide: 52 };
const SHORTEST_WHO = 8;

const SIGNS: Readonly<Record<MonitorEvent['kind'], string>> = {
  'page-in': '+',
  'page-out': '-',
  protection: '~',
  restructure: '=',
  'root-gone': 'x',
};

/** What a line says, as text. */
export interface Row {
  readonly kind: MonitorEvent['kind'];
  /** Whose address. */
  readonly who: string;
  readonly va: string;
  readonly pa: string;
  readonly size: string;
  readonly why: string;
}

export interface RowLayoutOptions {
  readonly colours: Ansis;
  /** Asked for every line: a terminal may change. */
  readonly columns: () => number;
  /** Columns in front, whose text `line` is given. */
  readonly leadColumns?: number;
  /** Columns that virtual addresses have at least. */
  readonly vaColumns?: number;
}

export class RowLayout {
  readonly colours: Ansis;
  readonly #columns: () => number;
  readonly #lead: number;
  // They grow when something longer comes, so that what follows stays aligned.
  readonly #widths: { va: number; pa: number; size: number };

  constructor({ colours, columns, leadColumns = 0, vaColumns = 14 }: RowLayoutOptions) {
    this.colours = colours;
    this.#columns = columns;
    this.#lead = leadColumns;
    this.#widths = { va: vaColumns, pa: 11, size: 5 };
  }

  /** Whether lines have room for more than the necessary. */
  get wide(): boolean {
    return this.#columns() >= WIDE_COLUMNS;
  }

  /** One line, without its end. */
  line(row: Row, lead = ''): string {
    const { colours } = this;
    const paint = paintOf(row.kind, colours);
    const before = this.#lead === 0 ? '' : `${colours.cyan(fit(lead, this.#lead))} `;
    return `${before}${paint(SIGNS[row.kind])} ${this.#cells(row, paint, colours.dim)}`.trimEnd();
  }

  /** The names of the columns. */
  heading(row: Omit<Row, 'kind'>, lead = ''): string {
    const plain = (text: string): string => text;
    const before = this.#lead === 0 ? '' : `${fit(lead, this.#lead)} `;
    return this.colours.dim(`${before}  ${this.#cells(row, plain, plain)}`.trimEnd());
  }

  #cells(row: Omit<Row, 'kind'>, paintPa: (text: string) => string, paintWhy: (text: string) => string): string {
    const va = this.#grow('va', row.va);
    const pa = this.#grow('pa', row.pa);
    const size = this.#grow('size', row.size);
    const free =
      this.#columns() - (this.#lead === 0 ? 0 : this.#lead + 1) - 2 - va.length - pa.length - size.length - 4;
    const whyReserve = this.wide ? WHY_COLUMNS.wide : WHY_COLUMNS.narrow;
    const who = fitWho(row.who, Math.max(SHORTEST_WHO, free - whyReserve));
    const why = fit(row.why, Math.max(0, free - who.length)).trimEnd();
    return `${who} ${va} ${paintPa(pa)} ${size} ${paintWhy(why)}`;
  }

  #grow(column: 'va' | 'pa' | 'size', text: string): string {
    this.#widths[column] = Math.max(this.#widths[column], text.length);
    return text.padEnd(this.#widths[column]);
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

/** Exactly `width` columns. */
function fit(text: string, width: number): string {
  if (text.length <= width) return text.padEnd(width);
  return width === 0 ? '' : `${text.slice(0, width - 1)}…`;
}

/** The same, at the cost of what stands before a bracket: `redis-server[2]:heap` says most at its end. */
function fitWho(text: string, width: number): string {
  const tail = text.includes('[') ? text.slice(text.indexOf('[')) : '';
  const head = width - tail.length;
  return text.length <= width || head < 4
    ? fit(text, width)
    : fit(text.slice(0, text.length - tail.length), head) + tail;
}
