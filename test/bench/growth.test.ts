import { expect, test } from 'vitest';
import { CLIFFS } from '../../bench/growth/cliffs.ts';
import type { Growth } from '../../bench/growth/measure.ts';
import { runBuilt } from './built.ts';

/**
 * Time at 4n by time at n. Four where it grows with n, 16 where it grows with the square. A busy machine changes both times, and the
 * fastest of several tries counts: far apart enough to tell.
 */
const MOST = 9;
const ATTEMPTS = 4;

test('no call takes time that grows with the square of what there is', { timeout: 300_000 }, () => {
  let slow: readonly string[] = CLIFFS.map(({ name }) => name);
  const seen: string[] = [];
  for (let attempt = 1; attempt <= ATTEMPTS && slow.length > 0; attempt++) {
    const { code, stdout } = runBuilt('main.js', [
      '--growth',
      '--json',
      '--rows',
      slow.join(','),
      '--runs',
      String(attempt),
    ]);
    expect(code, stdout).toBe(0);
    const rows = JSON.parse(stdout) as Growth[];
    expect(rows.map(({ name }) => name)).toEqual(slow);
    slow = rows.filter(({ growth }) => growth > MOST).map(({ name }) => name);
    seen.push(...rows.filter(({ name }) => slow.includes(name)).map(({ name, ms }) => `${name}: ${ms.join(', ')} ms`));
  }
  expect(slow, seen.join('\n')).toEqual([]);
});

test('a row that there is not is refused', () => {
  const { code, stderr } = runBuilt('main.js', ['--growth', '--rows', 'nothing']);
  expect(code).toBe(2);
  expect(stderr).toContain('no row nothing; there are disjoint, punch, ');
});
