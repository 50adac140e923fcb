import stringWidth from 'string-width';
import { describe, expect, test } from 'vitest';
import { fit, fitEnd, fitPath, widthOf } from '../../src/sinks/text-width.ts';

const WORDS = ['', 'plain', 'naïve', 'na\u0308ive', '守护进程', '👩‍👩‍👧‍👦 family', 'zero\u200bwidth', '…→×'];

test.each(WORDS)('the width of %j is that of the library', (text) => {
  expect(widthOf(text)).toBe(stringWidth(text));
});

describe('a text of exactly so many columns, whatever its characters', () => {
  test.each(WORDS)('%j', (text) => {
    for (let width = 0; width < 14; width++) expect(stringWidth(fit(text, width)), String(width)).toBe(width);
  });
});

test.each([
  [8, '/bin/busybox', '…busybox'],
  [9, '/bin/busybox', '…/busybox'],
  [12, '/bin/busybox', '/bin/busybox'],
  [13, '/usr/lib/x/libc.so', '…/x/libc.so'],
  [4, '/bin/busybox', '…box'],
])('in %i columns %s is %s', (width, path, expected) => {
  expect(fitPath(path, width)).toBe(expected);
});

test('the end of a text keeps whole characters', () => {
  expect(fitEnd('守护进程', 6)).toBe('…进程');
});
