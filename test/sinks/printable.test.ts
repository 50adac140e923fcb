import { expect, test } from 'vitest';
import { printable } from '../../src/sinks/printable.ts';

test.each([
  ['nginx', 'nginx'],
  ['büro 東京', 'büro 東京'],
  ['\x1b[2J\r\n\0', '\\x1b[2J\\x0d\\x0a\\x00'],
  ['a\u202eb\u2028', 'a\\x202eb\\x2028'],
])('a name of the guest’s, %j, moves no cursor', (text, expected) => {
  expect(printable(text)).toBe(expected);
});
