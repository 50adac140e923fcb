import { expect, test } from 'vitest';
import { columns, printable } from '../../../src/cli/linux/columns.ts';

test.each([
  ['nginx', 'nginx'],
  ['büro 東京', 'büro 東京'],
  ['\x1b[2J\r\n\0', '\\x1b[2J\\x0d\\x0a\\x00'],
  ['a\u202eb\u2028', 'a\\x202eb\\x2028'],
])('a name of the guest’s, %j, moves no cursor', (text, expected) => {
  expect(printable(text)).toBe(expected);
});

test('columns as wide as what is in them', () => {
  expect(
    columns(
      [
        ['PID', 'NAME'],
        ['7', 'x'],
        ['12345', ''],
      ],
      new Set([0]),
    ),
  ).toEqual(['  PID NAME', '    7 x', '12345']);
});
