/** The demo for people: events with what the guest was doing, and what came of it all. */
import type { Ansis } from 'ansis';
import type { Guest } from '../../../testing/index.ts';
import { coloursFor, columnsOf } from '../../../sinks/colours.ts';
import { lostText } from '../../../sinks/console.ts';
import { RowLayout } from '../../../sinks/row-layout.ts';
import type { Sink, Summary } from '../../../sinks/sink.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { DemoTally } from './demo-tally.ts';
import { type EventGroup, EventGroups, rowOfAlike } from './event-groups.ts';
import { tallyTables } from './tally-tables.ts';

/** The longest action, `collapse`. */
const ACTION_COLUMNS = 8;

export interface DemoViewOptions {
  readonly output: TextOutput;
  readonly guest: Guest;
  /** Lines before the first event; asked for when it comes. */
  readonly introduction: () => string;
}

export function demoView({ output, guest, introduction }: DemoViewOptions): Sink {
  const colours = coloursFor(output.stream);
  const layout = new RowLayout({
    colours,
    columns: () => columnsOf(output.stream),
    leadColumns: ACTION_COLUMNS,
    vaColumns: 15,
  });
  const groups = new EventGroups(guest);
  const tally = new DemoTally();
  const start = performance.now();
  let introduced = false;

  const introduce = (): string => {
    if (introduced) return '';
    introduced = true;
    const names = { who: 'process', va: 'virtual', pa: 'physical', size: 'pages', why: 'entry changed' };
    return `${introduction()}\n${layout.heading(names, 'guest')}\n`;
  };
  const text = (complete: readonly EventGroup[]): string => complete.map((group) => groupText(group, layout)).join('');

  return {
    write(event) {
      tally.add(event, groups.actionOf(event)?.action ?? 'unknown');
      const lines = introduce() + text(groups.add(event));
      return lines === '' ? undefined : output.write(lines);
    },
    async end(summary) {
      await output.write(introduce() + text(groups.end()));
      await output.write(summaryText(summary, tally, (performance.now() - start) / 1000, colours));
      await output.flush();
    },
  };
}

function groupText({ action, alike }: EventGroup, layout: RowLayout): string {
  return alike
    .map((events, index) => `${layout.line(rowOfAlike(events, layout.wide), index === 0 ? action?.action : '')}\n`)
    .join('');
}

function summaryText(summary: Summary, tally: DemoTally, seconds: number, colours: Ansis): string {
  const { counts, ended, failure, writes } = summary;
  const kinds = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  return [
    '',
    ...tallyTables(['process', tally.byProcess], ['guest', tally.byAction], colours),
    '',
    kinds.length === 0 ? 'no events' : kinds.join(', '),
    `${writes} trapped writes, ${lostText(summary)}, ${seconds.toFixed(2)} s`,
    ...(ended === 'stopped' ? ['stopped before the end'] : []),
    ...(failure === undefined ? [] : [`failed: ${failure.message}`]),
    '',
  ].join('\n');
}
