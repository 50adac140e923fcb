/** A replay as text: when, who, what and why; the notes of the recording; and the totals. */
import type { Ansis } from 'ansis';
import { lostText } from '../../sinks/console/console.ts';
import { entryName } from '../../sinks/console/event-row.ts';
import { printable } from '../../sinks/printable.ts';
import type { Sink, Summary } from '../../sinks/sink.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { fitLine } from '../../sinks/text-width.ts';
import { type AlikeEvents, EventBursts } from '../output/event-bursts.ts';
import { EventFrame } from '../output/event-frame.ts';
import { TIME_COLUMNS, TIME_NAME, timeText } from '../output/time-text.ts';

export interface TimedNote {
  readonly timeUs: number;
  readonly text: string;
}

export interface ReplayViewOptions {
  readonly output: TextOutput;
  /** Where the trace is, in microseconds. */
  readonly timeUs: () => number;
  /** Returns the notes of the recording since the last call. */
  readonly takeNotes: () => readonly TimedNote[];
  /** Lines before the first event. Called when it comes. */
  readonly introduction: () => string;
}

export interface ReplayView extends Sink {
  /** Prints notes that no event follows yet. */
  showNotes(): Promise<void>;
}

export function replayView({ output, timeUs, takeNotes, introduction }: ReplayViewOptions): ReplayView {
  const lead = { name: TIME_NAME, columns: TIME_COLUMNS };
  const frame = new EventFrame({ output, lead, introduction, tallyName: 'entry' });
  const bursts = new EventBursts();
  const lines = (complete: readonly AlikeEvents[]): string =>
    complete.map(({ events, timeUs }) => frame.line(events, timeText(timeUs))).join('');
  const notes = (): string => {
    const taken = takeNotes();
    if (taken.length === 0) return '';
    return lines(bursts.end()) + taken.map((note) => noteLine(note, frame.columns, frame.colours)).join('');
  };
  return {
    write(event) {
      frame.count(event, event.cause === null ? 'no entry' : entryName(event.cause.level));
      const text = frame.introduce() + notes() + lines(bursts.add(event, timeUs()));
      return text === '' ? undefined : output.write(text);
    },
    async showNotes() {
      const text = notes();
      if (text !== '') await output.write(frame.introduce() + text);
    },
    async end(summary) {
      await output.write(frame.introduce() + notes() + lines(bursts.end()));
      await output.write(frame.totals(summary, totalLines(summary, timeUs() / 1e6, frame.seconds)));
      await output.flush();
    },
  };
}

function noteLine(note: TimedNote, columns: number, colours: Ansis): string {
  const text = printable(note.text);
  const width = Math.max(20, columns - TIME_COLUMNS - 1);
  return `${colours.cyan(timeText(note.timeUs))} ${colours.bold(`── ${fitLine(text, width - 4)}`)}\n`;
}

function totalLines(summary: Summary, guestSeconds: number, replaySeconds: number): string[] {
  const { ended, failure, writes } = summary;
  const faster = guestSeconds / Math.max(replaySeconds, 0.001);
  return [
    `${writes} writes, ${lostText(summary)}`,
    `${guestSeconds.toFixed(2)} s of guest time in ${replaySeconds.toFixed(2)} s` +
      (faster >= 1.5 ? `, ${faster.toFixed(faster < 10 ? 1 : 0)} times as fast as recorded` : ''),
    ...(ended === 'failed' && failure !== undefined ? [`failed: ${printable(failure.message)}`] : []),
  ];
}
