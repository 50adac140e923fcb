import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChunkedList } from '../../../src/core/struct/chunked-list.ts';

test('is a sorted array, whatever is replaced in it', () => {
  const step = fc.record({ at: fc.nat(), count: fc.nat({ max: 700 }), add: fc.nat({ max: 900 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), fc.nat(), (steps, looked) => {
      const list = new ChunkedList<number>();
      let model: number[] = [];
      for (const { at, count, add } of steps) {
        const index = at % (model.length + 1);
        const removed = Math.min(count, model.length - index);
        const low = model[index - 1] ?? 0;
        const added = Array.from({ length: add }, (_, each) => low + each / 2 ** 20);
        list.replace(index, removed, added);
        model = [...model.slice(0, index), ...added, ...model.slice(index + removed)];
      }
      expect([...list]).toEqual(model);
      expect(list.length).toBe(model.length);
      expect(list.at(looked % (model.length + 1))).toBe(model[looked % (model.length + 1)]);
      const sorted = new ChunkedList<number>();
      const values = [...model].sort((a, b) => a - b);
      sorted.replace(0, 0, values);
      const bound = values[looked % (values.length + 1)] ?? Infinity;
      const expected = values.findIndex((value) => value >= bound);
      expect(sorted.lowerBound((value) => value < bound)).toBe(expected < 0 ? values.length : expected);
    }),
    { numRuns: 100 },
  );
});
