/** A replay for people: when, who, what, and why; what the guest was told to do; and what came of it all. */
import type { Ansis } from 'ansis';
import { coloursFor, columnsOf } from '../../../sinks/colours.ts';
import { lostText } from '../../../sinks/console.ts';
import { entryName } from '../../../sinks/event-row.ts';
import { printable } from '../../../sinks/printable.ts';
import { RowLayout } from '../../../sinks/row-layout.ts';
import type { Sink, Summary } from '../../../sinks/sink.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { DemoTally } from '../demo/demo-tally.ts';
import { rowOfAlike } from '../demo/event-groups.ts';
import { tallyTables } from '../demo/tally-tables.ts';
import { type AlikeEvents, EventBursts } from './event-bursts.ts';

/** `  123.456`. */
const TIME_COLUMNS = 9;
/** Those of user memory, and the dots of several. */
const VA_COLUMNS = 15;

export interface TimedNote {
  readonly timeUs: number;
  readonly text: string;
}

export interface ReplayViewOptions {
  readonly output: TextOutput;
  /** Where the trace is, in microseconds. */
  readonly timeUs: () => number;
  /** What whoever recorded has noted since this was last asked. */
  readonly takeNotes: () => readonly TimedNote[];
  /** Lines before the first event; asked for when it comes. */
  readonly introduction: () => string;
}

export interface ReplayView extends Sink {
  /** Shows notes that no event follows yet. */
  showNotes(): Promise<void>;
}

export function replayView({ output, timeUs, takeNotes, introduction }: ReplayViewOptions): ReplayView {
  const colours = coloursFor(output.stream);
  const layout = new RowLayout({
    colours,
    columns: () => columnsOf(output.stream),
    leadColumns: TIME_COLUMNS,
    vaColumns: VA_COLUMNS,
  });
  const bursts = new EventBursts();
  const tally = new DemoTally();
  const start = performance.now();
  let introduced = false;

  const introduce = (): string => {
    if (introduced) return '';
    introduced = true;
    const names = { who: 'what', va: 'virtual', pa: 'physical', size: 'pages', why: 'entry changed' };
    return `${introduction()}\n\n${layout.heading(names, '  seconds')}\n`;
  };
  const lines = (complete: readonly AlikeEvents[]): string =>
    complete
      .map(({ events, timeUs }) => `${layout.line(rowOfAlike(events, layout.wide), timeText(timeUs))}\n`)
      .join('');
  const notes = (): string => {
    const taken = takeNotes();
    if (taken.length === 0) return '';
    return lines(bursts.end()) + taken.map((note) => noteLine(note, columnsOf(output.stream), colours)).join('');
  };

  return {
    write(event) {
      tally.add(event, event.cause === null ? 'no entry' : entryName(event.cause.level));
      const text = introduce() + notes() + lines(bursts.add(event, timeUs()));
      return text === '' ? undefined : output.write(text);
    },
    async showNotes() {
      const text = notes();
      if (text !== '') await output.write(introduce() + text);
    },
    async end(summary) {
      await output.write(introduce() + notes() + lines(bursts.end()));
      const replaySeconds = (performance.now() - start) / 1000;
      await output.write(summaryText(summary, tally, timeUs() / 1e6, replaySeconds, colours));
      await output.flush();
    },
  };
}

function timeText(timeUs: number): string {
  return (timeUs / 1e6).toFixed(3).padStart(TIME_COLUMNS);
}

function noteLine(note: TimedNote, columns: number, colours: Ansis): string {
  const text = printable(note.text);
  const width = Math.max(20, columns - TIME_COLUMNS - 1);
  const shown = text.length > width - 4 ? `${text.slice(0, width - 5)}…` : text;
  return `${colours.cyan(timeText(note.timeUs))} ${colours.bold(`── ${shown}`)}\n`;
}

function summaryText(
  summary: Summary,
  tally: DemoTally,
  guestSeconds: number,
  replaySeconds: number,
  colours: Ansis,
): string {
  const { counts, ended, failure, writes } = summary;
  const kinds = Object.entries(counts).flatMap(([kind, count]) => (count > 0 ? [`${count} ${kind}`] : []));
  const faster = guestSeconds / Math.max(replaySeconds, 0.001);
  return [
    '',
    ...(tally.byProcess.size === 0
      ? []
      : [...tallyTables(['process', tally.byProcess], ['entry', tally.byAction], colours), '']),
    kinds.length === 0 ? 'no events' : kinds.join(', '),
    `${writes} writes, ${lostText(summary)}`,
    `${guestSeconds.toFixed(2)} s of the guest in ${replaySeconds.toFixed(2)} s` +
      (faster >= 1.5 ? `, ${faster.toFixed(faster < 10 ? 1 : 0)} times as fast as it ran` : ''),
    ...(ended === 'failed' && failure !== undefined ? [`failed: ${printable(failure.message)}`] : []),
    '',
  ].join('\n');
}
