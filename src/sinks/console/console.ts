/** Events as lines of text. */
import type { Writable } from 'node:stream';
import { Ansis } from 'ansis';
import { coloursFor } from './colours.ts';
import { columnsOf } from '../columns.ts';
import { rowOf } from './event-row.ts';
import { printable } from '../printable.ts';
import { RowLayout } from './row-layout.ts';
import type { Sink, Statistics, Summary } from '../sink.ts';
import { TextOutput } from '../text-output.ts';

export interface ConsoleOptions {
  /** Whether to use colour; defaults to what the stream, NO_COLOR and FORCE_COLOR say. */
  readonly colour?: boolean;
  /** Width of the lines; defaults to that of the terminal, or 80. */
  readonly columns?: number;
}

/** Writes to `output`, flushes it at the end, and leaves it open. */
export function consoleSink(output: Writable | TextOutput, { colour, columns }: ConsoleOptions = {}): Sink {
  const text = output instanceof TextOutput ? output : new TextOutput(output);
  const layout = new RowLayout({
    colours: colour === undefined ? coloursFor(text.stream) : new Ansis(colour ? 1 : 0),
    columns: () => columns ?? columnsOf(text.stream),
  });
  return {
    write: (event) => text.write(`${layout.line(rowOf(event, layout.wide))}\n`),
    end: async (summary) => {
      await text.write(summaryText(summary));
      await text.flush();
    },
  };
}

function summaryText(summary: Summary): string {
  const counts = Object.entries(summary.counts).filter(([kind, count]) => count > 0 || kind.startsWith('page-'));
  const events = counts.map(([kind, count]) => `${count} ${kind}`).join(', ');
  const failure = summary.failure === undefined ? '' : `${summary.ended}: ${printable(summary.failure.message)}\n`;
  return `${events}; ${summary.writes} writes, ${lostText(summary)}\n${failure}`;
}

/** The lost events as text. */
export function lostText(summary: Statistics & Pick<Summary, 'dropped'>): string {
  const { dropped = 0 } = summary;
  return `${missedText(summary)}${dropped === 0 ? '' : `, ${count(dropped, 'event')} dropped`}`;
}

function missedText({ lost, foundByResync, resyncs }: Statistics): string {
  const compared =
    foundByResync === 0
      ? ''
      : `, ${count(foundByResync, 'event')} found only by comparing (in ${count(resyncs, 'comparison')})`;
  if (lost.unknown) {
    const reasons = lost.reasons === undefined ? '' : ` (${lost.reasons.map(printable).join('; ')})`;
    return `${lost.known === 0 ? '' : `${lost.known} and `}an unknown number of events lost${reasons}${windowsText(lost.windows)}${compared}`;
  }
  return `${lost.known === 0 ? 'no events' : count(lost.known, 'event')} lost${compared}`;
}

/** Where some of the time is known to have lost nothing, how much of it is not. */
function windowsText(windows: Statistics['lost']['windows']): string {
  if (windows === undefined || windows.proved === 0) return '';
  const { unknown, unknownMs, longestMs } = windows;
  return ` in ${(unknownMs / 1000).toFixed(2)} s (${count(unknown, 'sample')}, at most ${longestMs.toFixed(0)} ms each)`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
