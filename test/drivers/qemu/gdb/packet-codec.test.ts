import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PacketDecoder, type PacketItem } from '../../../../src/drivers/qemu/gdb/packet/packet-decoder.ts';
import { bytesOfCharacters, framePacket } from '../../../../src/drivers/qemu/gdb/packet/packet-encoder.ts';

function decode(characters: string | readonly string[], maxPacketByteLength?: number): PacketItem[] {
  const decoder = new PacketDecoder(maxPacketByteLength);
  return [characters].flat().flatMap((chunk) => decoder.push(bytesOfCharacters(chunk)));
}

/** A frame around a body that is already as it is sent. */
function frame(body: string): string {
  const sum = [...body].reduce((total, character) => total + character.charCodeAt(0), 0);
  return `$${body}#${(sum & 0xff).toString(16).padStart(2, '0')}`;
}

/** Bytes as characters; often those that mean something. */
const characters = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      fc.constantFrom(...'$#}*+-%OKT05'),
    ),
    {
      maxLength: 60,
    },
  )
  .map((each) => each.join(''));

function cut(text: string, places: readonly number[]): string[] {
  const ends = [...new Set(places.map((place) => place % (text.length + 1)))].sort((a, b) => a - b);
  return [...ends, text.length].map((end, at) => text.slice(ends[at - 1] ?? 0, end));
}

const packet = (payload: string): PacketItem => ({ kind: 'packet', payload });
const damaged = (reason: string): PacketItem => ({ kind: 'damaged', reason });

describe('packets are framed', () => {
  test.each([
    ['', '$#00'],
    ['g', '$g#67'],
    ['vCont;c', '$vCont;c#a8'],
    ['qSupported:multiprocess+', '$qSupported:multiprocess+#c6'],
    ['#$}*', '$}\x03}\x04}]}\n#62'],
    ['\xff\xff', '$\xff\xff#fe'],
  ])('%j', (payload, characters) => {
    expect(framePacket(payload)).toBe(characters);
    expect(decode(characters)).toEqual([packet(payload)]);
  });

  test('what is framed is read back, whatever its bytes', () => {
    fc.assert(
      fc.property(characters, (payload) => {
        expect(decode(framePacket(payload))).toEqual([packet(payload)]);
      }),
    );
  });
});

describe('what a stub sends', () => {
  test.each<readonly [string, string, PacketItem[]]>([
    ['an acknowledgement and a reply', '+$OK#9a', [{ kind: 'ack' }, packet('OK')]],
    ['a demand to repeat', '-', [{ kind: 'nak' }]],
    ['capital digits', '$OK#9A', [packet('OK')]],
    ['a notification', `%${frame('Stop:T05').slice(1)}`, [{ kind: 'notification', payload: 'Stop:T05' }]],
    ['a damaged notification: nobody repeats it', '%Stop:T05#00', []],
    ['bytes between packets', '\x03??$OK#9a\r\n', [packet('OK')]],
    ['a percent sign in a packet', frame('50%'), [packet('50%')]],
    ['a run of digits', '$0* #7a', [packet('0000')]],
    ['the longest run', frame('x*~'), [packet('x'.repeat(98))]],
    ['a run of an escaped character', frame('}\x03*"'), [packet('######')]],
    ['a star that is escaped', frame('a}\nb'), [packet('a*b')]],
  ])('%s', (_, characters, items) => {
    expect(decode(characters)).toEqual(items);
  });
});

describe('a packet that cannot be used is said so, and the next is read', () => {
  test.each<readonly [string, string, PacketItem[]]>([
    ['a wrong checksum', '$OK#9b', [damaged('wrong checksum')]],
    ['a checksum that is none', '$OK#zz', [damaged('wrong checksum')]],
    ['half a checksum', '$OK#9', [{ kind: 'cut-short' }]],
    ['no checksum', '$OK#', [{ kind: 'cut-short' }]],
    ['no end', '$OK', [{ kind: 'cut-short' }]],
    ['a notification without an end', '%OK', []],
    ['an escape of nothing', frame('a}'), [damaged('escape without a character')]],
    ['a run of nothing', frame('*!'), [damaged('malformed run length')]],
    ['a run without a count', frame('0*'), [damaged('malformed run length')]],
    ['a run that is shorter than its notation', frame('0*\x1f'), [damaged('malformed run length')]],
    ['a run that is too long', frame('0*\x7f'), [damaged('malformed run length')]],
    ['a packet that is too long', frame('x'.repeat(101)), [damaged('longer than 100 bytes')]],
    ['a packet that is too long, expanded', frame('x*~x*~'), [damaged('longer than 100 bytes, expanded')]],
  ])('%s', (_, characters, items) => {
    expect(decode(`${characters}$OK#9a`, 100)).toEqual([...items, packet('OK')]);
  });

  test('a packet of just the length is taken', () => {
    expect(decode(frame('x'.repeat(100)), 100)).toEqual([packet('x'.repeat(100))]);
  });
});

describe('the stream may be cut anywhere', () => {
  test('any cutting of any bytes gives the same items, and nothing throws', () => {
    const stream = fc
      .array(fc.oneof(characters, characters.map(framePacket)), { maxLength: 8 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 20 }), fc.constantFrom(16, 1000), (text, places, limit) => {
        expect(decode(cut(text, places), limit)).toEqual(decode(text, limit));
      }),
      { numRuns: 500 },
    );
  });

  test('packets are found again after any bytes', () => {
    fc.assert(
      fc.property(characters, characters, (noise, payload) => {
        // Two: the first may be taken for the end of a packet that the noise began.
        const items = decode(noise + framePacket('first') + framePacket(payload));
        expect(items.at(-1)).toEqual(packet(payload));
      }),
    );
  });
});

describe('memory is bounded', () => {
  test.each(['$', '%', ''])('by a limit, after "%s" and a megabyte that never ends', (begin) => {
    const decoder = new PacketDecoder(64);
    const items = decoder.push(bytesOfCharacters(begin));
    for (let sent = 0; sent < 1024; sent++) items.push(...decoder.push(Buffer.alloc(1024, 'x')));
    items.push(...decoder.push(bytesOfCharacters('#00$OK#9a')));
    const expected = begin === '$' ? [damaged('longer than 64 bytes')] : [];
    expect(items).toEqual([...expected, packet('OK')]);
    expect(decoder.noiseSample.length).toBeLessThanOrEqual(80);
  });

  test('the sample of what was no packet is its beginning', () => {
    const decoder = new PacketDecoder();
    decoder.push(bytesOfCharacters('{"QMP": $g#67 and so on'));
    expect(decoder.noiseSample).toBe('{"QMP":  and so on');
  });
});
