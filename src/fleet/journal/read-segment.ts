/** The lines of a segment, each with its place in the session. */
import * as v from 'valibot';
import { textLinesOf } from './text-lines.ts';
import { gapLine, type SegmentFacts } from './segment.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** Names a line once and for all, and says what it does not say itself. */
export interface LinePlace {
  readonly host: string;
  readonly vm: string;
  readonly boot: string;
  readonly session: string;
  readonly segment: number;
  /** In the segment, from 1 on. */
  readonly line: number;
  /** In the session: lines follow each other without a hole, unless the host crashed. */
  readonly position: number;
  /** Time of the line before, or of the start of the session: microseconds since 1970. For lines that have none. */
  readonly after: number;
}

export interface JournalLine {
  readonly place: LinePlace;
  readonly text: string;
  readonly fields: Fields;
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const FIRST_LINE = v.object({
  host: v.string(),
  vm: v.string(),
  boot: v.string(),
  session: v.string(),
  started: v.pipe(
    v.string(),
    v.check((text) => !Number.isNaN(Date.parse(text))),
  ),
  number: count,
  before: count,
});

/** Of its first line; undefined where that is damaged, or where a crash of the host came before it was on the disk. */
export function factsOf(path: string): SegmentFacts | undefined {
  for (const first of textLinesOf(path)) {
    const outcome = v.safeParse(FIRST_LINE, parseLine(first));
    if (!outcome.success) break;
    const { host, vm, boot, session, started } = outcome.output;
    return { host, vm, boot, session, started };
  }
  return undefined;
}

/** None where the first line is damaged: it names the VM. */
export function* linesOf(path: string): Generator<JournalLine, void, undefined> {
  const lines = textLinesOf(path);
  const outcome = v.safeParse(FIRST_LINE, parseLine(lines.next().value ?? ''));
  if (!outcome.success) {
    lines.return();
    return;
  }
  const { host, vm, boot, session, started, number: segment, before } = outcome.output;
  let after = Date.parse(started) * 1000;
  let index = -1;
  for (const line of lines) {
    index++;
    if (line === '') continue;
    const whole = parseLine(line);
    const text = whole === undefined ? gapLine(null, 'a damaged line').trimEnd() : line;
    const fields = whole ?? (JSON.parse(text) as Fields);
    const place = { host, vm, boot, session, segment, line: index + 1, position: before + index, after };
    yield { place, text, fields };
    after = timeOf(fields) ?? after;
  }
}

/** Of a line, in microseconds since 1970, which are exact in a number; undefined where it has none. */
export function timeOf(line: Fields): number | undefined {
  const at = (line['time'] as Fields | null | undefined)?.['at'];
  if (typeof at !== 'string') return undefined;
  const milliseconds = Date.parse(`${at.slice(0, 23)}Z`);
  const micros = /^\d{3}$/.test(at.slice(23, 26)) ? Number(at.slice(23, 26)) : 0;
  return Number.isNaN(milliseconds) ? undefined : milliseconds * 1000 + micros;
}

/** Undefined where the text is no JSON object. */
export function parseLine(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}
