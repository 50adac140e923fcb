import { describe, expect, test } from 'vitest';
import { Pace } from '../../../src/drivers/ramfile/pace.ts';

/** The intervals after samples that found so many changes each, and took no time. */
function intervals(pace: Pace, changes: readonly number[]): number[] {
  return changes.map((count) => {
    pace.compared(count);
    return pace.after(0);
  });
}

describe('the interval between samples', () => {
  test('halves with each sample that finds changes, down to the shortest', () => {
    expect(intervals(new Pace(100, 10), [0, 1, 7, 1, 1, 1])).toEqual([100, 50, 25, 12.5, 10, 10]);
  });

  test('grows by a quarter with each that finds none, up to the longest', () => {
    const pace = new Pace(100, 10);
    intervals(pace, [1, 1, 1, 1]);
    const grown = intervals(
      pace,
      Array.from({ length: 12 }, () => 0),
    );
    expect(grown.slice(0, 3)).toEqual([12.5, 15.625, 19.53125]);
    expect(grown.at(-1)).toBe(100);
  });

  test('is five times what a sample takes at least, and never longer than the longest', () => {
    const pace = new Pace(100, 10);
    intervals(pace, [1, 1, 1, 1]);
    expect([1, 4, 15, 50].map((tookMs) => pace.after(tookMs))).toEqual([10, 20, 75, 100]);
  });

  test('stays where it is fixed, whatever is found and however long a sample takes', () => {
    expect(intervals(new Pace(100, 100), [1, 1, 0])).toEqual([100, 100, 100]);
    expect(new Pace(0, 0).after(50)).toBe(0);
  });
});
