import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { frameOffsetOf, gfnOf, PA_LIMIT, PAGE_BYTES, paOf, toPa } from '../../../src/core/address/pa.ts';
import { hex, highWord, lowWord, offsetOf, toU64, u64Of, vaOf, vpnOf } from '../../../src/core/address/va.ts';
import { PtmonError } from '../../../src/core/error.ts';

const EDGES = [
  0n,
  1n,
  0xfffn,
  0x1000n,
  0x7fff_ffffn,
  0x8000_0000n,
  2n ** 32n - 4096n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 32n + 1n,
  0x0000_7fff_ffff_ffffn,
  2n ** 47n,
  2n ** 52n - 4096n,
  2n ** 52n - 1n,
  2n ** 52n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  0xffff_8000_0000_0000n,
  2n ** 64n - 4096n,
  2n ** 64n - 1n,
];

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** Each law holds at the edges and everywhere. */
function everywhere(law: (value: bigint) => void): void {
  for (const edge of EDGES) law(edge);
  fc.assert(fc.property(u64, law), { numRuns: 500 });
}

describe('64-bit values in numbers', () => {
  test('a virtual address is a page number and an offset', () => {
    everywhere((va) => {
      expect(vpnOf(va)).toBe(Number(va >> 12n));
      expect(offsetOf(va)).toBe(Number(va & 0xfffn));
      expect(vaOf(vpnOf(va), offsetOf(va))).toBe(va);
    });
  });

  test('a value is a low and a high word', () => {
    everywhere((value) => {
      expect(lowWord(value)).toBe(Number(value & 0xffff_ffffn));
      expect(highWord(value)).toBe(Number(value >> 32n));
      expect(u64Of(lowWord(value), highWord(value))).toBe(value);
    });
    // Words that went through bit operations are negative.
    expect(u64Of(-1, 0)).toBe(0xffff_ffffn);
    expect(u64Of(0, -1)).toBe(0xffff_ffff_0000_0000n);
  });

  test.each([
    [0n, '0x0'],
    [0xdead_beefn, '0xdeadbeef'],
    [2 ** 52 - 4096, '0xffffffffff000'],
    [2n ** 64n - 1n, '0xffffffffffffffff'],
  ])('hex of %s is %s', (value, text) => {
    expect(hex(value)).toBe(text);
  });

  test('taken as they are', () => {
    everywhere((value) => {
      expect(toU64(value, 'it')).toBe(value);
    });
    for (const exact of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 52 - 4096, Number.MAX_SAFE_INTEGER]) {
      expect(toU64(exact, 'it')).toBe(BigInt(exact));
    }
  });

  test.each([-1, 0.5, 2 ** 53, 2 ** 64, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'the number %d is refused by its name',
    (value) => {
      const attempt = () => toU64(value, 'the thing');
      expect(attempt).toThrow(PtmonError);
      expect(attempt).toThrow(`the thing ${value} is not an exact unsigned integer; pass a bigint`);
      expect(attempt).toThrow(expect.objectContaining({ code: 'bad-argument' }));
    },
  );

  test.each([-1n, 2n ** 64n, -(2n ** 63n)])('the bigint %s is refused by its name', (value) => {
    const attempt = () => toU64(value, 'the thing');
    expect(attempt).toThrow(`the thing ${value} is not an unsigned 64-bit value`);
    expect(attempt).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  test.each([['0x1000'], [null], [undefined], [{}], [true]])('%o is refused, where types did not do it', (value) => {
    const attempt = () => toU64(value as unknown as bigint, 'the thing');
    expect(attempt).toThrow(PtmonError);
    expect(attempt).toThrow(/^the thing .* is not an unsigned 64-bit value/);
  });
});

describe('Physical addresses', () => {
  test('the constants', () => {
    expect(PAGE_BYTES).toBe(4096);
    expect(PA_LIMIT).toBe(2 ** 52);
  });

  test.each([0, 1, 0xfff, 0x1000, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52 - 4096, 2 ** 52 - 1])('%i is one', (pa) => {
    expect(toPa(pa)).toBe(pa);
    expect(toPa(BigInt(pa))).toBe(pa);
    expect(gfnOf(pa)).toBe(Number(BigInt(pa) >> 12n));
    expect(frameOffsetOf(pa)).toBe(Number(BigInt(pa) & 0xfffn));
    expect(paOf(gfnOf(pa), frameOffsetOf(pa))).toBe(pa);
    expect(paOf(gfnOf(pa))).toBe(pa - frameOffsetOf(pa));
  });

  test.each([
    [2 ** 52, 'physical address 0x10000000000000 is not below 2^52'],
    [2n ** 52n, 'physical address 0x10000000000000 is not below 2^52'],
    [2n ** 64n - 1n, 'physical address 0xffffffffffffffff is not below 2^52'],
    [-1, 'physical address -1 is not an exact unsigned integer'],
    [0.5, 'physical address 0.5 is not an exact unsigned integer'],
    [Number.NaN, 'physical address NaN is not an exact unsigned integer'],
    [-1n, 'physical address -1 is not an unsigned 64-bit value'],
  ])('%s is not', (value, message) => {
    const attempt = () => toPa(value);
    expect(attempt).toThrow(PtmonError);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  test('a refusal names what it is about', () => {
    expect(() => toPa(2 ** 52, 'root')).toThrow(/^root 0x/);
    expect(() => toPa(-1, 'root')).toThrow(/^root -1/);
  });
});
