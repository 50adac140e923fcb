import { expect, test } from 'vitest';
import { areaTable } from '../../src/cli/commands/maps/maps-output.ts';
import type { MappedArea } from '../../src/linux/index.ts';

test('maps calls nothing a dash, and memory without a name anonymous, as top does', () => {
  const rights = { readable: true, writable: true, executable: false, shared: false };
  const area = { start: 0x1000n, end: 0x3000n, rights, fileOffset: 0n, file: null, at: 0n, isHugetlb: false };
  const areas: MappedArea[] = [
    { ...area, name: '', mapped: 0, resident: 0, swapped: 2 },
    { ...area, name: '[heap]', mapped: 1, resident: 1, swapped: 0 },
  ];
  expect(areaTable(areas)).toEqual([
    'start   end     size  rights  resident  swapped  name',
    '0x1000  0x3000    8K  rw-p           -       8K  anonymous',
    '0x1000  0x3000    8K  rw-p          4K        -  [heap]',
  ]);
});
