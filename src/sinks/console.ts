/** Events as lines for people. */
import type { Writable } from 'node:stream';
import { Ansis } from 'ansis';
import { coloursFor, columnsOf } from './colours.ts';
import { rowOf } from './event-row.ts';
import { printable } from './printable.ts';
import { RowLayout } from './row-layout.ts';
import type { Sink, Statistics, Summary } from './sink.ts';
import { TextOutput } from './text-output.ts';

export interface ConsoleOptions {
  /** Colour or none; unless told, what the stream and NO_COLOR and FORCE_COLOR say. */
  readonly colour?: boolean;
  /** Width to lay out for; the terminal's unless told, 80 where there is none. */
  readonly columns?: number;
}

/** Writes to `output`, which is flushed at the end but stays open: it is its maker's. */
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

/** What went unseen, in words. */
export function lostText({ lost, foundByResync, resyncs }: Statistics): string {
  const compared = resyncs === 0 ? '' : `, ${foundByResync} events found by comparing (${resyncs} times)`;
  if (lost.unknown) return `${lost.known === 0 ? '' : `${lost.known} and `}an unknown number of events lost${compared}`;
  return `${lost.known === 0 ? 'no' : lost.known} events lost${compared}`;
}
