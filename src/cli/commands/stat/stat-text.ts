/** The summary of a trace, as one screen of text. */
import type { Ansis } from 'ansis';
import { lostText } from '../../../sinks/console/console.ts';
import { printable } from '../../../sinks/printable.ts';
import type { Summary } from '../../../sinks/sink.ts';
import { fitLine } from '../../../sinks/text-width.ts';
import { tallyTables } from '../../output/tally-tables.ts';
import type { ChangedAddress, StatTally } from './stat-tally.ts';

const BARS = ' ▁▂▃▄▅▆▇█';
const MOST_CHANGED = 6;

export interface StatFacts {
  readonly introduction: string;
  readonly tally: StatTally;
  readonly summary: Summary;
  readonly seconds: number;
  /** The size of the file. */
  readonly byteLength: number;
}

export function statText(facts: StatFacts, columns: number, colours: Ansis): string {
  const { introduction, tally, summary, seconds, byteLength } = facts;
  const { counts, writes } = summary;
  const kinds = Object.entries(counts).flatMap(([kind, count]) => (count > 0 ? [`${count} ${kind}`] : []));
  const parts = Math.max(1, columns - 22);
  const perWrite = writes === 0 ? '' : ` (${(byteLength / writes).toFixed(1)} a write)`;
  return [
    introduction,
    `${seconds.toFixed(3)} s, ${tally.instants} stops, ${byteLength} bytes${perWrite}, at most ${tally.mostTables} page tables at once`,
    '',
    kinds.length === 0 ? 'no events' : kinds.join(', '),
    `${writes} writes: ${tally.changes.write} entries that they changed, ${tally.changes.compare} more found by comparing`,
    `${lostText(summary)}${summary.ended === 'failed' ? `; failed: ${printable(summary.failure?.message ?? '')}` : ''}`,
    ...(tally.pages.byProcess.size === 0
      ? []
      : ['', ...tallyTables(['process', tally.pages.byProcess], ['entry', tally.pages.byKey], colours)]),
    ...changedLines(tally.mostChanged(MOST_CHANGED), columns, colours),
    '',
    rateLine('writes/s', tally.rates('writes', parts, seconds * 1e6), colours),
    rateLine('events/s', tally.rates('events', parts, seconds * 1e6), colours),
    '',
  ].join('\n');
}

function changedLines(addresses: readonly ChangedAddress[], columns: number, colours: Ansis): string[] {
  if (addresses.length === 0) return [];
  const lines = addresses.map(({ va, root, tags, events }) =>
    fitLine(changedLine(String(events), va, root, printable(tags)), columns),
  );
  return ['', colours.dim(changedLine('events', 'most changed', 'root', 'who')), ...lines];
}

function changedLine(events: string, va: string, root: string, who: string): string {
  return `${events.padStart(8)}  ${va.padEnd(18)}  ${root.padEnd(12)}  ${who}`;
}

/** `writes/s  ▁▂█▃  at most 900`. */
function rateLine(name: string, rates: readonly number[], colours: Ansis): string {
  const most = rates.reduce((highest, rate) => Math.max(highest, rate), 0);
  const bars = rates.map((rate) => BARS[most === 0 ? 0 : Math.ceil((rate / most) * (BARS.length - 1))]);
  return `${name} ${colours.cyan(bars.join(''))} max ${Math.round(most)}`;
}
