import { describe, expect, test } from 'vitest';
import { Random } from '../../src/testing/random.ts';

function take(random: Random, count = 8): number[] {
  return Array.from({ length: count }, () => random.next());
}

describe('seeded numbers', () => {
  test('the same seed gives the same sequence, any other seed or stream another', () => {
    const sequences = [
      new Random(0),
      new Random(1),
      new Random(2 ** 32),
      new Random(2 ** 53 - 1),
      new Random(1, 1),
    ].map((one) => take(one).join());
    expect(new Set(sequences).size).toBe(sequences.length);
    expect(take(new Random(1)).join()).toBe(sequences[1]);
  });

  test.each([-1, 0.5, NaN, 2 ** 53])('seed %d is refused', (seed) => {
    expect(() => new Random(seed)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  test('every value below a limit comes up, about equally often, and no other', () => {
    const random = new Random(7);
    const counts = new Map<number, number>();
    for (let n = 0; n < 6000; n++) {
      const value = random.between(10, 15);
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual([10, 11, 12, 13, 14, 15]);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
