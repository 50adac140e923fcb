import { describe, expect, test } from 'vitest';
import { listOf, wholeNumber } from '../../../src/cli/options/values.ts';

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
