import type { Writable } from 'node:stream';

/** Columns of a terminal; 80 where the stream is none. */
export function columnsOf(stream: Writable): number {
  const columns = 'columns' in stream ? Number(stream.columns) : Number.NaN;
  return columns > 0 ? columns : 80;
}
