/** The report of `ptmon doctor`, as text and as JSON. */
import type { Ansis } from 'ansis';
import { VERSION } from '../../../sinks/version.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { type Check, CHECK_TITLES, type Outcome } from './checks.ts';
import { conclusion, workingModes } from './conclusion.ts';

const COLOURS = { ok: 'green', missing: 'yellow', failed: 'red', skipped: 'dim' } as const satisfies Record<
  Outcome,
  keyof Ansis
>;

const OUTCOME_WIDTH = 'skipped'.length;
const TITLE_WIDTH = Math.max(...Object.values(CHECK_TITLES).map((title) => title.length));

/** A line for each check, below it a line with what to do about it, and the conclusion. */
export function reportText(checks: readonly Check[], colours: Ansis): string {
  const lines = checks.flatMap(({ name, outcome, detail, remedy }) => {
    const mark = colours[COLOURS[outcome]](outcome.padEnd(OUTCOME_WIDTH));
    const line = `${mark}  ${CHECK_TITLES[name].padEnd(TITLE_WIDTH)}  ${detail}`;
    return remedy === undefined ? [line] : [line, `${' '.repeat(OUTCOME_WIDTH + TITLE_WIDTH + 4)}→ ${remedy}`];
  });
  return [...lines, '', colours.bold(conclusion(workingModes(checks))), ''].join('\n');
}

/** One line (docs/formats/doctor.md). */
export function reportJson(checks: readonly Check[]): string {
  const modes = workingModes(checks);
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'doctor', ptmon: VERSION, modes, checks })}\n`;
}
