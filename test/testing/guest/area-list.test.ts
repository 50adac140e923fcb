import { describe, expect, test } from 'vitest';
import { AreaList, anonymousArea } from '../../../src/testing/guest/space/area-list.ts';

/** Areas given as `start+pages`. */
function list(...areas: string[]): AreaList {
  const result = new AreaList();
  for (const text of areas) {
    const [start, pages] = text.split('+').map(Number);
    result.add(anonymousArea(text, start!, pages!));
  }
  return result;
}

const shown = (areas: AreaList) =>
  areas.all.map(({ start, pages, filePage }) => `${start}+${pages}@${filePage}`).join(' ');

describe('areas', () => {
  test('are kept in order and found by any of their pages', () => {
    const areas = list('30+5', '10+5', '20+1');
    expect(shown(areas)).toBe('10+5@0 20+1@0 30+5@0');
    expect([9, 10, 14, 15, 20, 21, 34, 35].map((vpn) => areas.find(vpn)?.name)).toEqual([
      undefined,
      '10+5',
      '10+5',
      undefined,
      '20+1',
      undefined,
      '30+5',
      undefined,
    ]);
  });

  test.each([
    [0, 10, false],
    [0, 11, true],
    [14, 15, true],
    [15, 20, false],
    [12, 13, true],
    [0, 100, true],
    [35, 99, false],
  ])('from %d to %d there is one: %s', (start, end, touches) => {
    expect(list('10+5', '20+15').touches(start, end)).toBe(touches);
  });

  test.each([
    [10, 15, ''],
    [10, 12, '12+3@2'],
    [13, 15, '10+3@0'],
    [11, 13, '10+1@0 13+2@3'],
  ])('cut from %d to %d leaves %s, with the file still in place', (start, end, left) => {
    const areas = list('10+5');
    areas.cut(areas.all[0]!, start, end);
    expect(shown(areas)).toBe(left);
  });

  test('a change is to those pages only', () => {
    const areas = list('10+5');
    const changed = areas.change(areas.all[0]!, 12, 14, { writable: false });
    expect(shown(areas)).toBe('10+2@0 12+2@2 14+1@4');
    expect(areas.all.map((one) => one.writable)).toEqual([true, false, true]);
    expect(areas.find(13)).toBe(changed);
  });

  test.each([
    [5, 100, 0, 1, 0, 95],
    [5, 40, 0, 1, 0, 35],
    [6, 40, 0, 1, 0, 24],
    [10, 40, 0, 1, 0, 0],
    [11, 40, 0, 1, 0, -1],
    [5, 40, 36, 1, 0, -1],
    [4, 100, 0, 16, 3, 83],
    [4, 40, 0, 16, 8, 24],
  ])('a gap of %d pages below %d and above %d, %d*n+%d, is at %d', (pages, top, bottom, align, offset, start) => {
    expect(list('10+5', '15+9', '30+5').gap(pages, { top, bottom, align, offset })).toBe(start);
  });
});
