/** A line of a journal as a message of the broker, and back. */
import * as v from 'valibot';
import { fileName } from '../journal/file-name.ts';
import { gapLine } from '../journal/segment.ts';
import { type JournalLine, parseLine } from '../journal/read-segment.ts';
import { escaped } from '../../sinks/jsonl-format.ts';

export interface Message {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The line. */
  readonly text: string;
}

const ID = 'Nats-Msg-Id';
/** Has the place of the line. */
const PLACE = 'Ptmon-Place';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const id = v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/));
const PLACES = v.strictObject({
  host: v.string(),
  vm: v.string(),
  boot: id,
  session: id,
  segment: v.pipe(count, v.maxValue(2 ** 32 - 1)),
  line: v.pipe(count, v.maxValue(2 ** 32 - 1)),
  position: count,
  after: count,
});

/** @param maxBytes that the broker takes in one message; a line that is larger becomes a gap */
export function messageOfLine(line: JournalLine, maxBytes: number): Message {
  const { place, fields, text } = line;
  const { host, vm, boot, session, segment, line: number } = place;
  const head = escaped(JSON.stringify(place));
  const room = maxBytes - head.length - 1000;
  if (Buffer.byteLength(text) > room && fields['kind'] !== 'gap') {
    const instead = gapLine(1, 'larger than a message of the broker').trimEnd();
    return messageOfLine({ place, text: instead, fields: parseLine(instead)! }, maxBytes);
  }
  const kind = typeof fields['kind'] === 'string' && /^[a-z-]{1,40}$/.test(fields['kind']) ? fields['kind'] : 'other';
  const name = typeof fields['seq'] === 'number' ? String(fields['seq']) : `${segment}-${number}`;
  return {
    subject: `${subjectOf(host, vm)}.${kind}`,
    headers: { [ID]: `${fileName(vm)}.${boot}.${session}.${name}`, [PLACE]: head },
    text,
  };
}

/** Undefined where it is no message of an agent, or of another host or VM than its subject says: an agent may write to subjects of its own only. */
export function lineOfMessage(
  subject: string,
  header: (name: string) => string | undefined,
  text: string,
): JournalLine | undefined {
  const outcome = v.safeParse(PLACES, parseLine(header(PLACE) ?? ''));
  const fields = parseLine(text);
  if (!outcome.success || fields === undefined) return undefined;
  const place = outcome.output;
  if (!subject.startsWith(`${subjectOf(place.host, place.vm)}.`)) return undefined;
  return { place, text, fields };
}

function subjectOf(host: string, vm: string): string {
  return `ptmon.${fileName(host)}.${fileName(vm)}`;
}
