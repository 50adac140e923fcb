/** The lines of a segment, each with its place in the session. */
import { readFileSync } from 'node:fs';
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

type FirstLine = SegmentFacts & { readonly number: number; readonly before: number };

/** Of its first line; undefined where a crash of the host came before it was on the disk. */
export function factsOf(path: string): SegmentFacts | undefined {
  const [first = ''] = readFileSync(path, 'utf8').split('\n', 1);
  const facts = parseLine(first) as FirstLine | undefined;
  if (facts === undefined) return undefined;
  const { host, vm, boot, session, started } = facts;
  return { host, vm, boot, session, started };
}

export function* linesOf(path: string): Generator<JournalLine, void, undefined> {
  const [first = '', ...lines] = readFileSync(path, 'utf8').split('\n');
  const facts = parseLine(first) as FirstLine | undefined;
  // A crash of the host before the first line was on the disk: there is nothing in it.
  if (facts === undefined) return;
  const { host, vm, boot, session, started, number: segment, before } = facts;
  let after = Date.parse(started) * 1000;
  for (const [index, line] of lines.entries()) {
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
