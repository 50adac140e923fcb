/** The report of `ptmon doctor`, as text and as JSON. */
import type { Ansis } from 'ansis';
import { coloursFor } from '../../../sinks/console/colours.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { VERSION } from '../../../sinks/version.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { wrapped } from '../../output/status-lines.ts';
import { type Check, CHECK_TITLES, type Outcome } from './checks.ts';
import { conclusion, workingModes } from './conclusion.ts';

const COLOURS = { ok: 'green', missing: 'yellow', failed: 'red', skipped: 'dim' } as const satisfies Record<
  Outcome,
  keyof Ansis
>;

const OUTCOME_WIDTH = 'skipped'.length;
const TITLE_WIDTH = Math.max(...Object.values(CHECK_TITLES).map((title) => title.length));

/** A line for each check, below it a line with what to do about it, and the conclusion, where watching was checked. */
export async function reportText(checks: readonly Check[], output: TextOutput): Promise<string> {
  const colours = coloursFor(output.stream);
  const indent = OUTCOME_WIDTH + TITLE_WIDTH + 4;
  const lines: string[] = [];
  for (const { name, outcome, detail, remedy } of checks) {
    const mark = colours[COLOURS[outcome]](outcome.padEnd(OUTCOME_WIDTH));
    lines.push(`${mark}  ${CHECK_TITLES[name].padEnd(TITLE_WIDTH)}  ${await wrapped(detail, output, indent)}`);
    if (remedy !== undefined) lines.push(`${' '.repeat(indent)}→ ${await wrapped(remedy, output, indent + 2)}`);
  }
  if (checks.every(({ name }) => name === 'release')) return `${lines.join('\n')}\n`;
  return [...lines, '', colours.bold(await wrapped(conclusion(workingModes(checks)), output)), ''].join('\n');
}

/** One line (docs/formats/doctor.md). */
export function reportJson(checks: readonly Check[]): string {
  const modes = workingModes(checks);
  return `${JSON.stringify({ v: JSONL_VERSION, kind: 'doctor', ptmon: VERSION, modes, checks })}\n`;
}
