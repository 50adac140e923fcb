import type { Writable } from 'node:stream';

/** Columns that a line of text may take: those of a terminal, and any number elsewhere. */
export function lineColumnsOf(stream: Writable): number {
  return 'isTTY' in stream && stream.isTTY === true ? columnsOf(stream) : Infinity;
}

/** Columns of a terminal; 80 where the stream is none. */
export function columnsOf(stream: Writable): number {
  const columns = 'columns' in stream ? Number(stream.columns) : Number.NaN;
  return columns > 0 ? columns : 80;
}
