/** Pages as real compressors write them, and everything that is not such a page. */
import { deflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { decompressPage } from '../../../../src/drivers/dump/kdump/decompress.ts';
import { decompressLzo1x } from '../../../../src/drivers/dump/kdump/lzo1x.ts';
import { COMPRESSED_PAGES, textPage } from './compressed-pages.ts';

const PAGE = 4096;

function decompressed(flags: number, input: Uint8Array): Buffer {
  const page = Buffer.alloc(PAGE, 0xaa);
  decompressPage(flags, input, page);
  return page;
}

describe('pages of real compressors', () => {
  test.each(COMPRESSED_PAGES)('$method, page $seed', ({ flags, seed, base64 }) => {
    expect(decompressed(flags, Buffer.from(base64, 'base64')).equals(textPage(seed))).toBe(true);
  });

  test('zlib, and not compressed', () => {
    expect(decompressed(1, deflateSync(textPage(3))).equals(textPage(3))).toBe(true);
    expect(decompressed(0, textPage(3)).equals(textPage(3))).toBe(true);
  });

  test.each(COMPRESSED_PAGES)('$method, page $seed: cut off anywhere it is refused', ({ flags, seed, base64 }) => {
    const whole = Buffer.from(base64, 'base64');
    for (let length = 0; length < whole.length; length++) {
      let page: Buffer;
      try {
        page = decompressed(flags, whole.subarray(0, length));
      } catch {
        continue;
      }
      // What is missing may have been of no consequence.
      expect(page.equals(textPage(seed)), `${length} of ${whole.length} bytes`).toBe(true);
    }
  });

  test.each(COMPRESSED_PAGES)(
    '$method, page $seed: with any byte spoiled it ends soon, one way or the other',
    ({ flags, base64 }) => {
      const whole = Buffer.from(base64, 'base64');
      for (let at = 0; at < whole.length; at++) {
        for (const bits of [0x01, 0x80, 0xff]) {
          const spoiled = Buffer.from(whole);
          spoiled[at]! ^= bits;
          const start = performance.now();
          try {
            decompressed(flags, spoiled);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
          }
          expect(performance.now() - start, `byte ${at}`).toBeLessThan(2000);
        }
      }
    },
  );
});

describe('LZO1X, by the description of the stream', () => {
  const END = [17, 0, 0];
  const run = (input: readonly number[], length: number) => {
    const output = Buffer.alloc(length);
    decompressLzo1x(Uint8Array.from(input), output);
    return output.toString('latin1');
  };
  const abc = [...Buffer.from('abcdefghijklmnop')];

  test.each<[what: string, input: readonly number[], output: string]>([
    ['first byte: a few literals', [17 + 3, ...abc.slice(0, 3), ...END], 'abc'],
    ['first byte: a run of literals', [17 + 16, ...abc, ...END], 'abcdefghijklmnop'],
    ['0000LLLL: a run of literals', [1, ...abc.slice(0, 4), ...END], 'abcd'],
    ['0000LLLL with L = 0: a longer run', [0, 3, ...Buffer.alloc(21, 'x'), ...END], 'x'.repeat(21)],
    ['0000LLLL: lengths go on for 255 each', [0, 0, 3, ...Buffer.alloc(276, 'x'), ...END], 'x'.repeat(276)],
    [
      '0000DDSS after 1 to 3 literals: 2 bytes within 1 KiB',
      [17 + 2, 97, 98, 0b0100, 0, ...END],
      'aba'.slice(0, 2) + 'ab',
    ],
    ['01LDDDSS: 3 or 4 bytes within 2 KiB', [17 + 4, ...abc.slice(0, 4), 0b01_1_011_00, 0, ...END], 'abcdabcd'],
    ['1LLDDDSS: 5 to 8 bytes', [17 + 4, ...abc.slice(0, 4), 0b1_11_011_00, 0, ...END], 'abcdabcdabcd'],
    ['001LLLLL: within 16 KiB', [17 + 4, ...abc.slice(0, 4), 0b001_00110, 0b1100, 0, ...END], 'abcdabcdabcd'],
    ['001LLLLL with L = 0', [17 + 4, ...abc.slice(0, 4), 0b001_00000, 3, 0b1100, 0, ...END], 'abcd'.repeat(10)],
    ['SS: literals behind a copy', [17 + 4, ...abc.slice(0, 4), 0b01_0_011_10, 0, 88, 89, ...END], 'abcdabcXY'],
  ])('%s', (_what, input, output) => {
    expect(run(input, output.length)).toBe(output);
  });

  test('0000DDSS after a run: 3 bytes behind 2 KiB, and 0001HLLL: behind 16 KiB', () => {
    const long = Buffer.alloc(2100, 'y');
    long.write('abc');
    const zeroes = Math.floor((2100 - 19) / 255);
    const literals = [0, ...Buffer.alloc(zeroes), 2100 - 18 - zeroes * 255, ...long];
    // The distance is 2049 + 51: 51 is 12 in the byte behind, and 3.
    expect(run([...literals, 0b0000_11_00, 12, ...END], 2103).slice(-3)).toBe('abc');
    // Over 16 KiB of one letter, made by a copy of it, to the beginning: 16384 + 1, 2 + 1 bytes.
    const copy = 16_384 + 1 - 2100 - 2 - 31;
    const many = Math.floor((copy - 1) / 255);
    const far = [
      ...literals,
      0b001_00000,
      ...Buffer.alloc(many),
      copy - many * 255,
      0,
      0,
      0b0001_0001,
      0b100,
      0,
      ...END,
    ];
    expect(run(far, 16_384 + 1 + 3).slice(-3)).toBe('abc');
  });

  test.each<[what: string, input: readonly number[], length: number, why: RegExp]>([
    ['nothing', [], 4, /cut off/],
    ['no end', [17 + 3, 97, 98, 99], 3, /cut off/],
    ['literals that are not there', [1, 97], 4, /cut off/],
    [
      'a copy from before the beginning',
      [17 + 4, ...abc.slice(0, 4), 0b01_1_100_00, 0, ...END],
      8,
      /from before its start/,
    ],
    ['more than there is room for', [17 + 16, ...abc, ...END], 15, /more than 15 bytes/],
    ['a copy of more', [17 + 4, ...abc.slice(0, 4), 0b1_11_011_00, 0, ...END], 11, /more than 11 bytes/],
    ['less', [17 + 3, 97, 98, 99, ...END], 4, /makes 3 bytes, not 4/],
    ['something behind the end', [17 + 3, 97, 98, 99, ...END, 0], 3, /1 bytes before its data/],
    ['a length without end', [0, ...Buffer.alloc(64)], 4096, /cut off/],
  ])('refuses %s', (_what, input, length, why) => {
    expect(() => run(input, length)).toThrow(why);
  });
});

describe('refuses', () => {
  const frame = (...bytes: readonly number[]) => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, ...bytes]);
  /** A single segment of 4096 bytes. */
  const page = (...block: readonly number[]) => frame(0x60, 0, 15, ...block);

  test.each<[what: string, flags: number, input: Uint8Array, why: RegExp]>([
    ['flags of two ways', 3, Buffer.alloc(10), /flags 0x3 name no compression/],
    ['a stored page that is short', 0, Buffer.alloc(4095), /has 4095 bytes/],
    ['a zlib page that is short', 1, deflateSync(Buffer.alloc(4095)), /into 4095 bytes/],
    ['a zlib page that is long', 1, deflateSync(Buffer.alloc(4097)), /larger than 4096/],
    ['a zlib bomb', 1, deflateSync(Buffer.alloc(2 ** 22)), /larger than 4096/],
    ['garbage for zlib', 1, Buffer.alloc(20, 0x5a), /header/],
    [
      'a snappy page that promises 4 GiB',
      4,
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]),
      /makes 1 bytes, not 4096/,
    ],
    [
      'a snappy copy from before the beginning',
      4,
      Buffer.from([0x80, 0x20, 0, 97, 0b10, 2, 0]),
      /from before its start/,
    ],
    ['a snappy literal of 4 GiB', 4, Buffer.from([0x80, 0x20, 63 << 2, 255, 255, 255, 255, 97]), /cut off/],
    ['no zstd frame', 0x20, Buffer.alloc(20), /not a zstd frame/],
    ['a zstd frame of another size', 0x20, frame(0x60, 1, 15, 3, 0x80, 0, 0), /of 4097 bytes/],
    ['a zstd frame of 2^63 bytes', 0x20, frame(0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0), /bytes, not a page/],
    ['a zstd frame of unknown size', 0x20, frame(0x00, 0x58, 1, 0, 0), /unknown size/],
    ['two zstd blocks', 0x20, page(0, 0x80, 0), /more than one block/],
    ['a zstd block that repeats a byte 2 million times', 0x20, page(0xfb, 0xff, 0xff, 0), /makes 2097151 bytes/],
    ['98,000 zstd sequences', 0x20, page(0x2d, 0, 0, 0x00, 0xff, 0xff, 0xff, 0), /98047|sequences/],
    ['zstd literals of 200 KiB', 0x20, page(0x2d, 0, 0, 0b1111_11_01, 0xff, 0xff, 0, 0), /bytes of literals/],
    ['an empty zstd block', 0x20, page(0x05, 0, 0), /cut off/],
  ])('%s', (_what, flags, input, why) => {
    const start = performance.now();
    expect(() => decompressed(flags, input)).toThrow(why);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
