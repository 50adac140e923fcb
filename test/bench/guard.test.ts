import { describe, expect, test } from 'vitest';
import { GUARDED, judge } from '../../bench/guard/verdict.ts';
import { runBuilt } from './built.ts';

describe('the verdict', () => {
  const cases: [what: string, attempts: readonly number[], lost: boolean][] = [
    ['as fast as ever', [1], false],
    ['faster', [1.6], false],
    ['29 % slower', [0.71, 0.71], false],
    ['31 % slower, every time', [0.69, 0.69, 0.69], true],
    ['31 % slower, until a quiet moment', [0.69, 0.2, 0.95], false],
    ['a tenth of it, once', [0.1], true],
  ];

  test.each(cases)('%s', (_what, attempts, lost) => {
    const verdict = judge(attempts.map((flip) => ({ flip }))).find(({ row }) => row === 'flip');
    expect(verdict).toEqual({ row: 'flip', best: Math.max(...attempts), lost });
  });

  test('a row that is not measured any more is lost', () => {
    expect(judge([{}]).every(({ lost }) => lost)).toBe(true);
  });
});

// Seconds by itself; the rest of the tests may be running beside it.
describe('the guard', { timeout: 90_000 }, () => {
  test('the engine is as fast as its baseline says', () => {
    const { code, stdout } = runBuilt('guard/main.js', []);
    expect(code, stdout).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(GUARDED.length);
  });

  test('a loss of 40 % is noticed', () => {
    const { code, stdout } = runBuilt('guard/main.js', ['--plant', '40']);
    expect(code, stdout).toBe(1);
    expect(stdout).toContain('more than 30 % slower, 3 times out of 3: ');
    expect(stdout.match(/LOST$/gm)!.length, stdout).toBeGreaterThanOrEqual(3);
  });

  test('says how it is called', () => {
    const { code, stderr } = runBuilt('guard/main.js', ['--plant', '100']);
    expect(code).toBe(2);
    expect(stderr).toContain('--plant 100 is not a percentage from 34 to 99');
  });
});
