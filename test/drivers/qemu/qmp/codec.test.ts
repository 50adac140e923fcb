import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeQmpCommand, QmpDecoder } from '../../../../src/drivers/qemu/qmp/codec.ts';
import type { QmpMessage } from '../../../../src/drivers/qemu/qmp/messages.ts';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "capabilities": ["oob"]}}';

const MESSAGES: readonly (readonly [what: string, line: string, message: QmpMessage])[] = [
  [
    'a greeting',
    GREETING,
    { kind: 'greeting', greeting: { version: [7, 2, 22], package: 'Debian 1:7.2', capabilities: ['oob'] } },
  ],
  [
    'a greeting that says nothing',
    '{"QMP": 1}',
    { kind: 'greeting', greeting: { version: [0, 0, 0], package: '', capabilities: [] } },
  ],
  ['a return', '{"return": {}, "id": 3}', { kind: 'return', id: 3, value: {} }],
  ['a return of text', '{"return": "a\\r\\nb", "id": 4}', { kind: 'return', id: 4, value: 'a\r\nb' }],
  [
    'a refusal',
    '{"id": 5, "error": {"class": "CommandNotFound", "desc": "The command x has not been found"}}',
    { kind: 'refusal', id: 5, refusal: { class: 'CommandNotFound', desc: 'The command x has not been found' } },
  ],
  [
    'a refusal without words or id',
    '{"error": null}',
    { kind: 'refusal', id: undefined, refusal: { class: 'GenericError', desc: 'no reason given' } },
  ],
  [
    'an event',
    '{"timestamp": {"seconds": 1700000000, "microseconds": 250000}, "event": "SHUTDOWN", "data": {"guest": true}}',
    { kind: 'event', event: { name: 'SHUTDOWN', data: { guest: true }, timeMs: 1_700_000_000_250 } },
  ],
  [
    'an event at an unknown time, without data',
    '{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "STOP"}',
    { kind: 'event', event: { name: 'STOP', data: {}, timeMs: -1 } },
  ],
  ['an object of the future', '{"news": 1}', { kind: 'unknown', value: { news: 1 } }],
  ['half a line', '{"return": {', { kind: 'violation', reason: 'a line that is not JSON', sample: '{"return": {' }],
  ['a number', '7', { kind: 'violation', reason: 'a line that is not a JSON object', sample: '7' }],
  ['an array', '[]', { kind: 'violation', reason: 'a line that is not a JSON object', sample: '[]' }],
  [
    'the human monitor',
    "QEMU 7.2.22 monitor - type 'help'",
    { kind: 'violation', reason: 'a line that is not JSON', sample: "QEMU 7.2.22 monitor - type 'help'" },
  ],
];

/** Whole lines of QMP, and lines of anything. */
const line = fc.oneof(
  fc.constantFrom(...MESSAGES.map(([, text]) => Buffer.from(text))),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.json().map((text) => Buffer.from(text)),
);
const stream = fc
  .array(line, { maxLength: 12 })
  .map((lines) => Buffer.concat(lines.flatMap((each) => [each, Buffer.from('\r\n')])));

/** The stream, cut at places that fast-check chooses. */
function chunksOf(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...places, bytes.length].map((end, at) => bytes.subarray(places[at - 1] ?? 0, end));
}

function decode(chunks: readonly Uint8Array[], maxLineByteLength?: number): QmpMessage[] {
  const decoder = new QmpDecoder(maxLineByteLength);
  return chunks.flatMap((chunk) => decoder.push(chunk));
}

describe('lines are messages', () => {
  test.each(MESSAGES)('%s', (_, text, message) => {
    expect(decode([Buffer.from(`${text}\r\n`)])).toEqual([message]);
    expect(decode([Buffer.from(text)])).toEqual([]);
  });

  test('empty lines are none', () => {
    expect(decode([Buffer.from('\r\n\n  \n')])).toEqual([]);
  });

  test('bytes that are no UTF-8 are no message', () => {
    const bytes = Buffer.from('{"return": "\xff"}\n', 'latin1');
    expect(decode([bytes])).toEqual([
      { kind: 'violation', reason: 'a line that is not JSON', sample: '{"return": "·"}' },
    ]);
  });

  test('JSON of any depth', () => {
    const deep = `{"return": ${'['.repeat(200_000)}${']'.repeat(200_000)}, "id": 1}\n`;
    expect(decode([Buffer.from(deep)])).toEqual([expect.objectContaining({ kind: expect.any(String) as string })]);
  });
});

describe('the stream may be cut anywhere', () => {
  test('any cutting gives the same messages, and nothing throws', () => {
    fc.assert(
      fc.property(
        stream,
        fc.array(fc.nat(), { maxLength: 20 }),
        fc.constantFrom(20, 1_000_000),
        (bytes, cuts, limit) => {
          expect(decode(chunksOf(bytes, cuts), limit)).toEqual(decode([bytes], limit));
        },
      ),
    );
  });

  test('in the middle of a character', () => {
    const bytes = Buffer.from('{"return": "é€😀"}\n');
    expect(decode([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual([
      { kind: 'return', id: undefined, value: 'é€😀' },
    ]);
  });
});

describe('memory is bounded', () => {
  const violation = { kind: 'violation', reason: 'a line of more than 64 bytes' };

  test.each([1, 7, 64, 2000])('a line that never ends is said once, in chunks of %i bytes', (chunkLength) => {
    const decoder = new QmpDecoder(64);
    const messages: QmpMessage[] = [];
    for (let sent = 0; sent < 2000; sent += chunkLength) {
      messages.push(...decoder.push(Buffer.alloc(chunkLength, 'x')));
      expect(decoder.pendingByteLength).toBeLessThanOrEqual(64);
    }
    expect(messages).toEqual([expect.objectContaining(violation)]);
    messages.push(...decoder.push(Buffer.from('\n{"return": 1, "id": 2}\n')));
    expect(messages).toEqual([expect.objectContaining(violation), { kind: 'return', id: 2, value: 1 }]);
  });

  test('a line of just the length is taken', () => {
    const text = '{"return": 1}'.padEnd(64);
    expect(decode([Buffer.from(`${text}\n`)], 64)).toEqual([{ kind: 'return', id: undefined, value: 1 }]);
    expect(decode([Buffer.from(`${text} \n`)], 64)).toEqual([expect.objectContaining(violation)]);
  });

  test('a sample is short and safe to print', () => {
    const [message] = decode([Buffer.from(`\x1b[31m\0${'y'.repeat(1000)}\n`)]);
    expect(message).toMatchObject({ sample: `·[31m·${'y'.repeat(74)}` });
  });
});

test('a command is one line', () => {
  const line = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  expect(line(encodeQmpCommand('query-status', undefined, 7))).toBe('{"execute":"query-status","id":7}\n');
  expect(line(encodeQmpCommand('x', { 'command-line': 'a\nb' }, 8))).toBe(
    '{"execute":"x","arguments":{"command-line":"a\\nb"},"id":8}\n',
  );
});
