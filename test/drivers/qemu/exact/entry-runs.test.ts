import fc from 'fast-check';
import { expect, test } from 'vitest';
import { entryRuns } from '../../../../src/drivers/qemu/exact/watchpoints/entry-runs.ts';

test.each<[string, number[], 4 | 8, [pa: number, byteLength: number][]]>([
  ['none', [], 8, []],
  ['one', [0x1008], 8, [[0x1008, 8]]],
  ['neighbours, in any order and more than once', [0x1010, 0x1000, 0x1008, 0x1008], 8, [[0x1000, 24]]],
  [
    'no neighbours',
    [0x1000, 0x1010],
    8,
    [
      [0x1000, 8],
      [0x1010, 8],
    ],
  ],
  [
    'across frames',
    [0x1ff0, 0x1ff8, 0x2000, 0x2008],
    8,
    [
      [0x1ff0, 16],
      [0x2000, 16],
    ],
  ],
  [
    'of 4 bytes',
    [0x1000, 0x1004, 0x100c],
    4,
    [
      [0x1000, 8],
      [0x100c, 4],
    ],
  ],
  [
    'above 4 GiB',
    [2 ** 40, 2 ** 40 + 8, 2 ** 51],
    8,
    [
      [2 ** 40, 16],
      [2 ** 51, 8],
    ],
  ],
])('entries as runs: %s', (_, entries, entryByteLength, runs) => {
  expect(entryRuns(Float64Array.from(entries), entryByteLength)).toEqual(
    runs.map(([pa, byteLength]) => ({ pa, byteLength })),
  );
});

test('entries as runs: in whatever order they come, as sorted one by one', () => {
  const entries = fc.array(
    fc.integer({ min: 0x1f80, max: 0x2080 }).map((pa) => pa * 8),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(entries, (given) => {
      const sorted = [...new Set(given)].sort((a, b) => a - b);
      const runs: { pa: number; byteLength: number }[] = [];
      for (const pa of sorted) {
        const last = runs.at(-1);
        if (last !== undefined && last.pa + last.byteLength === pa && pa % 0x1000 !== 0) last.byteLength += 8;
        else runs.push({ pa, byteLength: 8 });
      }
      expect(entryRuns(Float64Array.from(given), 8)).toEqual(runs);
    }),
  );
});
