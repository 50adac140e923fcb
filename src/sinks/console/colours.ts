/** The colours that a stream supports. */
import type { Writable } from 'node:stream';
import { Ansis } from 'ansis';

/** Colours for `stream`: none unless it is a terminal; FORCE_COLOR and NO_COLOR override that, in this order. */
export function coloursFor(stream: Writable, env: NodeJS.ProcessEnv = process.env): Ansis {
  // Ansis examines a process. It is given only what this stream depends on: not CI, not the --color of another command.
  const { FORCE_COLOR, NO_COLOR, TERM, COLORTERM } = env;
  const relevant = Object.entries({ FORCE_COLOR, NO_COLOR, TERM, COLORTERM }).filter(
    ([, value]) => value !== undefined,
  );
  return new Ansis({ process: { argv: [], env: Object.fromEntries(relevant), stdout: stream } });
}
