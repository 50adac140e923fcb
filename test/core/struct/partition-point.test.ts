import { expect, test } from 'vitest';
import { partitionPoint } from '../../../src/core/struct/partition-point.ts';

test.each([0, 1, 2, 3, 7, 8, 100])('of %i indices, finds every point', (count) => {
  for (let point = 0; point <= count; point++) {
    const asked: number[] = [];
    const found = partitionPoint(count, (index) => {
      asked.push(index);
      return index < point;
    });
    expect(found).toBe(point);
    expect(asked.every((index) => index >= 0 && index < count)).toBe(true);
    expect(asked.length).toBeLessThanOrEqual(Math.ceil(Math.log2(count + 1)));
  }
});
