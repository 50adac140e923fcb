/** Lines of columns, for widths of 80 and more: `fault + nginx[12]:heap  0x55d0c0a01000  0x1a3f000  4K  PTE 0x0 → …067`. */
import type { Ansis } from 'ansis';
import type { MonitorEvent } from '../core/monitor/events.ts';

/** From this width on, lines have room for whole entries and the vCPU. */
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
  /** Minimum width of virtual addresses. */
  readonly vaColumns?: number;
}

export class RowLayout {
  readonly colours: Ansis;
  readonly #columns: () => number;
  readonly #lead: number;
  // They grow with longer values, so that later lines stay aligned.
  readonly #widths: { va: number; pa: number; size: number };

  constructor({ colours, columns, leadColumns = 0, vaColumns = 14 }: RowLayoutOptions) {
    this.colours = colours;
    this.#columns = columns;
    this.#lead = leadColumns;
    this.#widths = { va: vaColumns, pa: 11, size: 5 };
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

/** The same, but shortens the part before a bracket: the end of `redis-server[2]:heap` matters most. */
function fitWho(text: string, width: number): string {
  const tail = text.includes('[') ? text.slice(text.indexOf('[')) : '';
  const head = width - tail.length;
  return text.length <= width || head < 4
    ? fit(text, width)
    : fit(text.slice(0, text.length - tail.length), head) + tail;
}
