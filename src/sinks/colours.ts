/** Whether and how a stream takes colour. */
import type { Writable } from 'node:stream';
import { Ansis } from 'ansis';

/** Colours for `stream`: none unless it is a terminal, FORCE_COLOR and NO_COLOR obeyed (in this order). */
export function coloursFor(stream: Writable, env: NodeJS.ProcessEnv = process.env): Ansis {
  // Ansis looks at a process. It is shown only what this stream's answer depends on: not CI, not another command's --color.
  const { FORCE_COLOR, NO_COLOR, TERM, COLORTERM } = env;
  const relevant = Object.entries({ FORCE_COLOR, NO_COLOR, TERM, COLORTERM }).filter(
    ([, value]) => value !== undefined,
  );
  return new Ansis({ process: { argv: [], env: Object.fromEntries(relevant), stdout: stream } });
}

/** Terminal columns; 80 where nobody knows. */
export function columnsOf(stream: Writable): number {
  const columns = 'columns' in stream ? Number(stream.columns) : Number.NaN;
  return columns > 0 ? columns : 80;
}
