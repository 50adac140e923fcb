import { expect, test } from 'vitest';
import { columns } from '../../../src/cli/output/columns.ts';

test('columns as wide as what is in them', () => {
  expect(
    columns(
      [
        ['PID', 'NAME'],
        ['7', 'x'],
        ['12345', ''],
      ],
      { right: new Set([0]) },
    ),
  ).toEqual(['  PID NAME', '    7 x', '12345']);
});

test('wide characters are measured', () => {
  expect(
    columns([
      ['名前', 'x'],
      ['abc', 'y'],
    ]),
  ).toEqual(['名前 x', 'abc  y']);
});
