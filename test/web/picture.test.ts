import { describe, expect, test } from 'vitest';
import { arrangeAreas } from '../../src/web/picture/areas.ts';
import { frameRuns } from '../../src/web/picture/frames.ts';
import { cellAt, cellsOf, gridOf, pitchFor, rowsOf, zoomFor } from '../../src/web/picture/layout.ts';
import { kindOf, lookOf, rightsText, sizeName, SWAPPED_LOOK } from '../../src/web/picture/look.ts';
import { ratesOf } from '../../src/web/picture/rates.ts';
import { RunMap } from '../../src/web/picture/runs.ts';
import type { Step } from '../../src/web/picture/scene.ts';
import { Timeline } from '../../src/web/picture/timeline.ts';

/** Rights as `core/paging/rights` packs them: 1 writable, 2 user, 4 no-execute. */
const [READ_ONLY, WRITABLE, EXECUTABLE, BROKEN] = [6, 7, 2, 3];

test.each([
  [lookOf(READ_ONLY, 1), 'read-only', 'r--u', '4K'],
  [lookOf(WRITABLE, 512), 'writable', 'rw-u', '2M'],
  [lookOf(WRITABLE, 1024), 'writable', 'rw-u', '4M'],
  [lookOf(EXECUTABLE, 512 ** 2), 'executable', 'r-xu', '1G'],
  [lookOf(BROKEN, 1), 'writable+executable', 'rwxu', '4K'],
  [lookOf(READ_ONLY | (5 << 4), 1), 'read-only', 'r--u5', '4K'],
  [SWAPPED_LOOK, 'swapped', 'r---', '4K'],
])('look %i is %s %s %s', (look, kind, rights, size) => {
  expect([kindOf(look), rightsText(look), sizeName(look)]).toEqual([kind, rights, size]);
});

describe('cells', () => {
  const map = new RunMap([
    [0x1000, 2, lookOf(READ_ONLY, 1), 10],
    [0x1002, 1, lookOf(BROKEN, 1), 90],
    [0x1200, 512, lookOf(WRITABLE, 512), 0x800],
  ]);
  const area = { vpn: 0x1000, pages: 0x400 };

  test('are pages, or the most remarkable page of a table', () => {
    const pages = cellsOf(map, gridOf(area, 0), 0, 4);
    expect(pages.map(({ kind }) => kind)).toEqual(['read-only', 'read-only', 'writable+executable', 'absent']);
    const tables = cellsOf(map, gridOf(area, 1), 0, 2);
    expect(tables.map(({ kind, pages: count, leaf }) => [kind, count, leaf])).toEqual([
      ['writable+executable', 3, 1],
      ['writable', 512, 512],
    ]);
  });

  test('of a table begin where the table does', () => {
    expect(gridOf({ vpn: 0x10ff, pages: 2 }, 1)).toEqual({ cellPages: 512, start: 0x1000, cells: 1 });
    expect(gridOf({ vpn: 0x11ff, pages: 2 }, 1)).toEqual({ cellPages: 512, start: 0x1000, cells: 2 });
  });

  test('an area of too many pages is drawn by tables or directories', () => {
    expect([100_000, 200_000, 2 ** 27].map((pages) => zoomFor({ pages }))).toEqual([0, 1, 2]);
    expect(zoomFor({ pages: 10 }, 1)).toBe(1);
  });

  test('are where the mouse finds them', () => {
    const rows = rowsOf(95, 205, 10);
    expect(rows).toEqual({ columns: 20, rows: 5, pitch: 10 });
    expect([
      cellAt(rows, 95, 0, 0),
      cellAt(rows, 95, 199, 9),
      cellAt(rows, 95, 0, 10),
      cellAt(rows, 95, 145, 45),
    ]).toEqual([0, 19, 20, 94]);
    expect([cellAt(rows, 95, 155, 45), cellAt(rows, 95, 201, 0), cellAt(rows, 95, -1, 0)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('are as large as fits, and not too small to see', () => {
    expect(pitchFor([10], 800, 600)).toBe(14);
    expect(pitchFor([5000], 800, 500)).toBe(8);
    expect(pitchFor([20_000], 800, 500)).toBe(8);
    expect(pitchFor([100_000], 800, 500)).toBe(3);
  });
});

describe('areas', () => {
  test('are pages that lie close together, with the name that events give them', () => {
    const areas = arrangeAreas([
      { vpn: 100, pages: 2, name: '' },
      { vpn: 110, pages: 1, name: 'heap' },
      { vpn: 300, pages: 5, name: 'heap' },
      { vpn: 306, pages: 1, name: 'stack' },
      { vpn: 9000, pages: 1, name: '' },
      { vpn: 101, pages: 4, name: '' },
    ]);
    expect(areas).toEqual([
      { vpn: 100, pages: 205, name: 'heap' },
      { vpn: 306, pages: 1, name: 'stack' },
      { vpn: 9000, pages: 1, name: '' },
    ]);
  });
});

test('frames know who has them, and how many do', () => {
  const look = lookOf(WRITABLE, 1);
  const runs = frameRuns([
    [
      [0, 4, look, 100],
      [50, 2, look, 101],
      [60, 3, SWAPPED_LOOK, -1],
    ],
    [[7, 2, look, 103]],
    [[9, 600, lookOf(READ_ONLY, 1, true), 500]],
  ]);
  expect(runs).toEqual([
    { gfn: 100, pages: 3, owner: 0, owners: 1 },
    { gfn: 103, pages: 1, owner: 0, owners: 2 },
    { gfn: 104, pages: 1, owner: 1, owners: 1 },
    { gfn: 500, pages: 1, owner: 2, owners: 1 },
  ]);
});

describe('Timeline', () => {
  const look = lookOf(WRITABLE, 1);
  const space = { root: 0x1000, name: 'a[1]', pid: 1, areas: [], runs: [] };
  const steps: Step[] = [
    { timeMs: 10, changes: [[0, 5, 2, [[5, 2, look, 70]]]], events: [] },
    {
      timeMs: 20,
      changes: [
        [0, 5, 1, []],
        [1, 9, 1, [[9, 1, look, 80]]],
      ],
      events: [],
      spaces: [{ ...space, name: 'b[2]' }],
    },
    { timeMs: 20, changes: [[7, 9, 1, []]], events: [] },
  ];

  test('goes forward and back', () => {
    const timeline = new Timeline({ spaces: [space], steps });
    const states = [0, 1, 2, 3].map((count) => {
      timeline.seek(count);
      return timeline.spaces.map(({ map }) => [...map.runs]);
    });
    expect(states.at(-1)).toEqual([[[6, 1, look, 71]], [[9, 1, look, 80]]]);
    for (const count of [2, 0, 3, 1]) {
      timeline.seek(count);
      expect(timeline.spaces.map(({ map }) => [...map.runs])).toEqual(states[count]);
    }
    expect([-1, 10, 15, 20, 99].map((timeMs) => timeline.countAt(timeMs))).toEqual([0, 1, 1, 3, 3]);
  });

  test('keeps a bounded number of steps of a guest that goes on, and what they led to', () => {
    const timeline = new Timeline({ spaces: [space], steps: [] });
    for (let at = 0; at < 30_000; at++) {
      timeline.append({
        timeMs: at,
        changes: [[0, at % 64, 1, at % 2 === 0 ? [[at % 64, 1, look, at]] : []]],
        events: [],
      });
      timeline.seek(Infinity);
    }
    expect(timeline.steps.length).toBeLessThanOrEqual(22_000);
    expect(timeline.isAtEnd).toBe(true);
    expect(timeline.spaces[0]!.map.runs).toHaveLength(32);
    timeline.seek(timeline.at - 1);
    timeline.seek(Infinity);
    expect(timeline.spaces[0]!.map.runs).toHaveLength(32);
  });
});

test('rates are pages a second, those of omitted events among them', () => {
  const event = { space: 0, vpn: 0, gfn: 0, pageSize: 4096, who: '', why: '', vcpu: null };
  const steps: Step[] = [
    { timeMs: 100, changes: [], events: [{ ...event, kind: 'page-in', pages: 64 }] },
    { timeMs: 900, changes: [], events: [], omitted: 5, counts: { 'page-out': 10, protection: 3, 'root-gone': 1 } },
  ];
  expect(ratesOf(steps, 0, 1000, 2)).toEqual({
    seconds: [0.25, 0.75],
    pagesIn: [128, 0],
    pagesOut: [0, 20],
    others: [0, 8],
  });
});
