import { describe, expect, test } from 'vitest';
import { addPhysical, listOf, parseAddress, seconds, wholeNumber } from '../../../src/cli/options/values.ts';

describe('whole numbers', () => {
  test.each([
    ['0', 0],
    ['7', 7],
    ['007', 7],
    ['100', 100],
  ])('%s is %i', (value, expected) => {
    expect(wholeNumber(0, 100)(value)).toBe(expected);
  });

  test.each(['', ' ', '-1', '101', '1.5', '1e1', '0x10', ' 7', 'seven', '９', '99999999999999999999'])(
    '"%s" is refused with what would be right',
    (value) => {
      expect(() => wholeNumber(0, 100)(value)).toThrow('not an integer from 0 to 100');
    },
  );
});

describe('lists of words', () => {
  const words = ['protection', 'restructure', 'root-gone'] as const;
  test.each([
    ['protection', ['protection']],
    ['root-gone,protection', ['root-gone', 'protection']],
    ['protection, protection', ['protection']],
  ])('%s', (value, expected) => {
    expect(listOf(words)(value)).toEqual(expected);
  });

  test.each(['', 'all', 'protection,', 'Protection'])('"%s" is refused with what would be right', (value) => {
    expect(() => listOf(words)(value)).toThrow('give some of protection,restructure,root-gone');
  });
});

describe('times', () => {
  test.each([
    ['90', 90],
    ['1s', 1],
    ['1.5s', 1.5],
    ['500ms', 0.5],
    ['5m', 300],
    ['2h', 7200],
  ])('%s is %d seconds', (text, expected) => {
    expect(seconds(text)).toBe(expected);
  });

  test.each(['', '0', '-1', '5 m', '5d', '1e3', 'soon', '999h', '0x10'])('"%s" is refused', (text) => {
    expect(() => seconds(text)).toThrow('not a time: write 90, 90s, 5m, 2h or 500ms');
  });
});

describe('addresses, with 0x or without', () => {
  test.each([
    ['0x1000', 0x1000n],
    ['1000', 0x1000n],
    ['ffffffff81000000', 0xffff_ffff_8100_0000n],
    ['0XFFFFFFFFFFFFFFFF', 2n ** 64n - 1n],
    ['0xadd', 0xaddn],
    ['add', undefined],
    ['0x', undefined],
    ['0x1g', undefined],
    ['', undefined],
    ['11112222333344445', undefined],
  ])('%s', (text, expected) => {
    expect(parseAddress(text)).toBe(expected);
  });

  test('a physical one has 52 bits', () => {
    expect(addPhysical('0xfffffffffffff')).toEqual([2 ** 52 - 1]);
    expect(() => addPhysical('0x10000000000000')).toThrow('not a physical address');
  });
});
