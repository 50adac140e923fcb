import { expect, test } from 'vitest';
import { joined, type Range, without } from '../../src/linux/watch/ranges.ts';

const ranges = (...bounds: [number, number][]): Range[] =>
  bounds.map(([start, end]) => ({ start: BigInt(start), end: BigInt(end) }));

test.each([
  ['nothing', ranges([0, 10]), ranges(), ranges([0, 10])],
  ['what is beside it', ranges([5, 10]), ranges([0, 5], [10, 20]), ranges([5, 10])],
  ['its middle', ranges([0, 10]), ranges([3, 5]), ranges([0, 3], [5, 10])],
  ['its ends', ranges([0, 10]), ranges([0, 2], [8, 12]), ranges([2, 8])],
  ['all of it', ranges([2, 4], [6, 8]), ranges([0, 10]), ranges()],
  ['pieces', ranges([0, 10], [20, 30]), ranges([5, 22], [25, 26]), ranges([0, 5], [22, 25], [26, 30])],
])('without %s', (_what, from, others, expected) => {
  expect(without(from, others)).toEqual(expected);
});

test('joined', () => {
  expect(joined(ranges([20, 30], [0, 5], [5, 20], [40, 50]))).toEqual(ranges([0, 30], [40, 50]));
});
