/** Events as JSONL: one object per line, the same bytes for the same events (docs/formats/jsonl.md). */
import type { Writable } from 'node:stream';
import { droppedLine, endLine, eventLine, type HeaderOptions, headerLine, watchLine } from './jsonl-format.ts';
import type { Sink } from './sink.ts';
import { TextOutput } from './text-output.ts';
import { VERSION } from './version.ts';

export interface JsonlOptions {
  /** For the header line: what the events depend on, such as a seed. */
  readonly options?: HeaderOptions;
  /** Whether each line says when the guest stopped for it. Defaults to false: then the same events give the same bytes at any time. */
  readonly time?: boolean;
}

/** Writes to `output`, flushes it at the end, and leaves it open. */
export function jsonlSink(output: Writable | TextOutput, { options, time = false }: JsonlOptions = {}): Sink {
  const text = output instanceof TextOutput ? output : new TextOutput(output);
  let seq = 0;
  return {
    mayLag: true,
    begin: (source) => text.write(headerLine(VERSION, source, options)),
    write: (event) => text.write(eventLine(event, seq++, time)),
    watch: (change) => text.write(watchLine(change, time)),
    dropped: (count) => {
      seq += count;
      return text.write(droppedLine(count));
    },
    end: async (summary) => {
      await text.write(endLine(summary));
      await text.flush();
    },
  };
}
