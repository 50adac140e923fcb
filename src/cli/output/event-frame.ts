/** What surrounds a list of events on a terminal: introduction and column names before the first line, totals after the last. */
import type { Ansis } from 'ansis';
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { coloursFor } from '../../sinks/console/colours.ts';
import { columnsOf } from '../../sinks/columns.ts';
import { RowLayout } from '../../sinks/console/row-layout.ts';
import type { Summary } from '../../sinks/sink.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { rowOfAlike } from './alike-row.ts';
import { PageTally } from './page-tally.ts';
import { tallyTables } from './tally-tables.ts';

/** Columns of the addresses of user memory, and of the dots behind the first of several. */
const VA_COLUMNS = 15;

export interface EventFrameOptions {
  readonly output: TextOutput;
  /** The first column: its name, and its width. */
  readonly lead: { readonly name: string; readonly columns: number };
  /** Lines before the first event. Called when it comes. */
  readonly introduction: () => string;
  /** What the second table of the totals counts by. */
  readonly tallyName: string;
}

export class EventFrame {
  readonly colours: Ansis;
  readonly #options: EventFrameOptions;
  readonly #layout: RowLayout;
  readonly #tally = new PageTally();
  readonly #start = performance.now();
  #isIntroduced = false;

  constructor(options: EventFrameOptions) {
    const { output, lead } = options;
    this.#options = options;
    this.colours = coloursFor(output.stream);
    this.#layout = new RowLayout({
      colours: this.colours,
      columns: () => this.columns,
      leadColumns: lead.columns,
      vaColumns: VA_COLUMNS,
    });
  }

  get columns(): number {
    return columnsOf(this.#options.output.stream);
  }

  /** Seconds since the first call of anything here. */
  get seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  /** @param key what the second table counts the event under */
  count(event: MonitorEvent, key: string): void {
    this.#tally.add(event, key);
  }

  /** Introduction and column names, the first time; then nothing. */
  introduce(): string {
    if (this.#isIntroduced) return '';
    this.#isIntroduced = true;
    const names = { who: 'who', va: 'virtual', pa: 'physical', size: 'pages', why: 'entry changed' };
    const { introduction, lead } = this.#options;
    const before = introduction();
    return `${before === '' ? '' : `${before}\n\n`}${this.#layout.heading(names, lead.name)}\n`;
  }

  /** One line for events that are alike. */
  line(events: readonly MonitorEvent[], lead: string): string {
    return `${this.#layout.line(rowOfAlike(events, this.#layout.wide), lead)}\n`;
  }

  /** Tables of pages, the numbers of events, and the lines of the caller. */
  totals({ counts }: Summary, lines: readonly string[]): string {
    const { byProcess, byKey } = this.#tally;
    const kinds = Object.entries(counts).flatMap(([kind, count]) => (count > 0 ? [`${count} ${kind}`] : []));
    const tables =
      byProcess.size === 0
        ? []
        : [...tallyTables(['process', byProcess], [this.#options.tallyName, byKey], this.colours), ''];
    return ['', ...tables, kinds.length === 0 ? 'no events' : kinds.join(', '), ...lines, ''].join('\n');
  }
}
