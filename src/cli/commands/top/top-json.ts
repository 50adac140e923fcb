/** A process at one look as a line of JSON (docs/live.md). */
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import type { TopRow } from './top-rows.ts';

/** With its line feed. */
export function rowJson({ pid, command, uid, state, threads, resident, large, swapped, ...rates }: TopRow): string {
  const round = (perSecond: number) => Math.round(perSecond * 10) / 10;
  return `${JSON.stringify({
    v: JSONL_VERSION,
    kind: 'process',
    pid,
    command,
    uid,
    state,
    threads,
    resident,
    large,
    swapped,
    pagesIn: round(rates.pagesIn),
    pagesOut: round(rates.pagesOut),
    copies: round(rates.copies),
  })}\n`;
}
