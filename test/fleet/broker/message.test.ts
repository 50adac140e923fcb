/** Lines as messages of the broker, and back: every line comes back, and none for a host or a VM that its subject does not name. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lineOfMessage, type Message, messageOfLine } from '../../../src/fleet/broker/message.ts';
import type { JournalLine } from '../../../src/fleet/journal/read-segment.ts';

const name = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }),
  fc.constantFrom('../../etc', 'a.b', '*', '>', '.', 'web 1', '\r\nNats-Msg-Id: x', '$JS.API', '__proto__'),
);
const count = fc.nat({ max: 2 ** 31 });
const place = fc.record({
  host: name,
  vm: name,
  boot: fc.constant('b0'),
  session: fc.constant('0f927fe3-45aa'),
  segment: count,
  line: count,
  position: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  after: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
});

function lineOf(of: JournalLine['place'], fields: Record<string, unknown>): JournalLine {
  return { place: of, fields, text: JSON.stringify(fields) };
}

function back({ subject, headers, text }: Message, as = subject): JournalLine | undefined {
  return lineOfMessage(as, (header) => headers[header], text);
}

test('every line comes back, and its subject has four parts that no name gets out of', () => {
  fc.assert(
    fc.property(place, fc.nat(), (of, seq) => {
      const line = lineOf(of, { v: 1, kind: 'page-in', seq });
      const message = messageOfLine(line, 2 ** 20);
      expect(message.subject).toMatch(/^ptmon\.[\w%-]{1,80}\.[\w%-]{1,80}\.page-in$/);
      for (const value of Object.values(message.headers)) expect(value).not.toMatch(/[\r\n]/);
      expect(back(message)).toEqual(line);
    }),
  );
});

test('the id names a line: the same for the same, another for another', () => {
  const of = { host: 'h', vm: 'v', boot: 'b', session: 's', segment: 1, line: 2, position: 3, after: 4 };
  const idOf = (line: JournalLine) => messageOfLine(line, 2 ** 20).headers['Nats-Msg-Id'];
  expect(idOf(lineOf(of, { kind: 'page-in', seq: 7 }))).toBe('v.b.s.7');
  expect(idOf(lineOf(of, { kind: 'header' }))).toBe('v.b.s.1-2');
});

test.each([
  ['another host', 'ptmon.other.v.page-in'],
  ['another VM', 'ptmon.h.other.page-in'],
  ['a subject that begins alike', 'ptmon.h.vv.page-in'],
])('a message for %s than its subject says is refused', (_, subject) => {
  const of = { host: 'h', vm: 'v', boot: 'b', session: 's', segment: 1, line: 2, position: 3, after: 4 };
  const message = messageOfLine(lineOf(of, { kind: 'page-in', seq: 7 }), 2 ** 20);
  expect(back(message)).toBeDefined();
  expect(back(message, subject)).toBeUndefined();
});

test('what is no message of an agent is refused', () => {
  const of = { host: 'h', vm: 'v', boot: 'b', session: 's', segment: 1, line: 2, position: 3, after: 4 };
  const { subject, headers, text } = messageOfLine(lineOf(of, { kind: 'page-in', seq: 7 }), 2 ** 20);
  const from = (more: object, line = text) =>
    back({ subject, headers: { 'Ptmon-Place': JSON.stringify({ ...of, ...more }) }, text: line });
  expect(from({})).toBeDefined();
  expect(back({ subject, headers: {}, text })).toBeUndefined();
  expect(back({ subject, headers, text: 'no JSON' })).toBeUndefined();
  for (const wrong of [{ session: '../x' }, { session: 7 }, { position: -1 }, { position: 0.5 }, { line: 2 ** 32 }]) {
    expect(from(wrong)).toBeUndefined();
  }
});

test('a line that is larger than a message becomes a gap', () => {
  const of = { host: 'h', vm: 'v', boot: 'b', session: 's', segment: 1, line: 2, position: 3, after: 4 };
  const message = messageOfLine(lineOf(of, { kind: 'page-in', seq: 7, tags: ['x'.repeat(70_000)] }), 65_536);
  expect(message.subject).toBe('ptmon.h.v.gap');
  expect(back(message)).toMatchObject({ place: of, fields: { kind: 'gap', count: 1 } });
});
