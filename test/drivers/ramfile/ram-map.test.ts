/** Maps of RAM: what people write, how PCs are laid out, and where an address lies. */
import { describe, expect, test } from 'vitest';
import {
  formatByteLength,
  formatRamMap,
  parseRamMap,
  pcRegions,
  plainRegions,
  RamRegions,
} from '../../../src/drivers/ramfile/index.ts';

const [KIB, MIB, GIB, TIB] = [2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40];

const badArgument = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'bad-argument', message: expect.stringMatching(message) as string });

describe('a map as people write it', () => {
  const maps: [text: string, ...regions: [pa: number, byteLength: number, position: number][]][] = [
    ['0+4096@0', [0, 4096, 0]],
    ['0x0+3G@0,0x100000000+1G@3G', [0, 3 * GIB, 0], [4 * GIB, GIB, 3 * GIB]],
    [' 4g+0x1000@0X2000 , 0 + 640k @ 0', [0, 640 * KIB, 0], [4 * GIB, 4096, 0x2000]],
    ['1T+2T@0x10M', [TIB, 2 * TIB, 16 * MIB]],
    ['0+1M@7', [0, MIB, 7]],
  ];

  test.each(maps)('%s', (text, ...regions) => {
    const read = parseRamMap(text);
    expect(read.map(({ pa, byteLength, position }) => [pa, byteLength, position])).toEqual(regions);
    expect(parseRamMap(formatRamMap(read))).toEqual(read);
  });

  test.each([
    ['', /"" is not a region of RAM; write ADDRESS\+SIZE@POSITION/],
    ['0+1M', /"0\+1M" is not a region/],
    ['0+1M@0,', /"" is not a region/],
    ['0+1M@0@1', /is not a region/],
    ['0+1.5M@0', /is not a region/],
    ['0+1X@0', /is not a region/],
    ['-1+1M@0', /is not a region/],
    ['0+9007199254740993@0', /is not a region/],
    ['0+0@0', /0x0\+0x0@0x0 is empty/],
    ['0+100@0', /does not begin and end at multiples of 4096/],
    ['8+4096@0', /does not begin and end at multiples of 4096/],
    ['4096T+4096@0', /ends beyond 2\^52/],
    ['0+4096@8191T,4096+4096@8192T', /is not a region/],
    ['0+2M@0,1M+1M@2M', /0x0\+0x200000@0x0 overlaps 0x100000\+0x100000@0x200000/],
    ['1M+1M@2M,0+2M@0', /overlaps/],
  ])('%j is refused', (text, message) => {
    expect(() => parseRamMap(text)).toThrow(badArgument(message));
  });

  test.each([
    [0, '0'],
    [1, '1'],
    [1536, '1536'],
    [1024, '1K'],
    [1537 * MIB, '1537M'],
    [3 * GIB, '3G'],
    [4096 * TIB, '4096T'],
  ])('%d bytes are %s', (byteLength, text) => {
    expect(formatByteLength(byteLength)).toBe(text);
  });
});

describe('the RAM of a PC', () => {
  test.each([
    [256 * MIB, 3 * GIB, '0x0+256M@0x0'],
    [3 * GIB, 3 * GIB, '0x0+3G@0x0'],
    [4 * GIB, 3 * GIB, '0x0+3G@0x0,0x100000000+1G@0xc0000000'],
    [6 * GIB, 2 * GIB, '0x0+2G@0x0,0x100000000+4G@0x80000000'],
  ])('%d bytes, %d of them low', (byteLength, low, map) => {
    expect(formatRamMap(pcRegions(byteLength, low))).toBe(map);
  });

  test.each([0, -4096, 5 * GIB, Number.NaN])('%d bytes below 4 GiB cannot be', (low) => {
    expect(() => pcRegions(GIB, low)).toThrow(badArgument(/cannot be/));
  });

  test('a file that no machine splits is RAM from address 0; a larger one needs a map, and is shown two', () => {
    expect(plainRegions(2815 * MIB)).toEqual([{ pa: 0, byteLength: 2815 * MIB, position: 0 }]);
    expect(() => plainRegions(2816 * MIB)).toThrow(badArgument(/2816M of RAM .* a map must be given/));
    expect(() => plainRegions(6 * GIB)).toThrow(
      badArgument(/pc machine 0x0\+3G@0x0,0x100000000\+3G@0xc0000000, for q35 0x0\+2G@0x0,0x100000000\+4G@0x80000000/),
    );
  });
});

describe('where an address lies', () => {
  const map = [
    { pa: 0, byteLength: 0xa_0000, position: 0 },
    { pa: 0xc_0000, byteLength: 0x1000, position: 0x50_0000 },
    { pa: 0xc_1000, byteLength: 0x1000, position: 0x10_0000 },
    { pa: 4 * GIB, byteLength: GIB, position: 3 * GIB },
    { pa: 2 ** 52 - 4096, byteLength: 4096, position: 0 },
  ];

  test('is found as by looking at each region, from any address to any other', () => {
    const edges = map.flatMap(({ pa, byteLength }) => [pa - 1, pa, pa + 8, pa + byteLength - 1, pa + byteLength]);
    const slow = (pa: number) => map.find((region) => pa >= region.pa && pa < region.pa + region.byteLength);
    const regions = new RamRegions([...map].reverse());
    for (const from of edges) {
      for (const to of edges) {
        expect(regions.find(from)).toEqual(slow(from));
        expect(regions.find(to), `${to} after ${from}`).toEqual(slow(to));
      }
    }
    expect(edges.filter((pa) => slow(pa) === undefined).length).toBeGreaterThan(3);
  });

  test('has totals', () => {
    const regions = new RamRegions(map);
    expect(regions.byteLength).toBe(0xa_0000 + 0x3000 + GIB);
    expect(regions.endPosition).toBe(4 * GIB);
    expect(() => new RamRegions([])).toThrow(badArgument(/the guest has no RAM region/));
  });
});
