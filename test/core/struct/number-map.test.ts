/** A map by numbers does what a `Map` does. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NumberMap } from '../../../src/core/struct/number-map.ts';

// Few enough that they meet again, and some that differ only beyond 32 bits or only in the highest bit.
const keys = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.integer({ min: 0, max: 5 }).map((high) => high * 2 ** 32 + 7),
  fc.constantFrom(2 ** 31, 2 ** 32 - 1, 2 ** 40 - 1),
  fc.integer({ min: 0, max: 2 ** 40 - 1 }),
);

describe('a map by numbers', () => {
  test('does what a Map does, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), keys), { maxLength: 300 }), (steps) => {
        const map = new NumberMap<{ key: number; step: number }>();
        const model = new Map<number, { key: number; step: number }>();
        steps.forEach(([adds, key], step) => {
          if (adds) {
            const value = { key, step };
            map.set(key, value);
            model.set(key, value);
          } else {
            map.delete(key);
            model.delete(key);
          }
          expect(map.size).toBe(model.size);
          expect(map.get(key)).toBe(model.get(key));
        });
        for (const [, key] of steps) expect(map.get(key)).toBe(model.get(key));
        expect(new Set(map.values())).toEqual(new Set(model.values()));
      }),
      { numRuns: 500 },
    );
  });

  test('ten thousand neighbours, the even ones gone again', () => {
    const map = new NumberMap<{ gfn: number }>();
    for (let gfn = 0; gfn < 10_000; gfn++) map.set(gfn, { gfn });
    for (let gfn = 0; gfn < 10_000; gfn += 2) map.delete(gfn);
    const found = Array.from({ length: 10_001 }, (_, gfn) => map.get(gfn)?.gfn);
    expect(found).toEqual(Array.from({ length: 10_001 }, (_, gfn) => (gfn % 2 === 1 ? gfn : undefined)));
    expect([map.size, [...map.values()].length]).toEqual([5000, 5000]);
  });

  test('the same calls give the same order', () => {
    const fill = () => {
      const map = new NumberMap<{ key: number }>();
      for (const key of [9, 2 ** 33, 4, 1, 77, 5, 6, 2, 3]) map.set(key, { key });
      map.delete(77);
      return [...map.values()].map(({ key }) => key);
    };
    expect(fill()).toEqual(fill());
  });
});
