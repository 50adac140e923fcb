import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const HEAD = `import { beforeAll, describe, test } from 'vitest';\n`;

/** What the reporter counts in a run of one test file. */
function countsOf(source: string, args: readonly string[] = []): unknown {
  // Inside the project, so that the file finds vitest.
  mkdirSync(join(ROOT, 'build'), { recursive: true });
  const folder = mkdtempSync(join(ROOT, 'build/counted-'));
  try {
    writeFileSync(join(folder, 'one.test.js'), HEAD + source);
    writeFileSync(join(folder, 'vitest.config.js'), 'export default {};');
    const counts = join(folder, 'counts.json');
    const reporter = `--reporter=${join(ROOT, 'scripts/vitest-reporter.mjs')}`;
    spawnSync(process.execPath, [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', reporter, ...args], {
      cwd: folder,
      env: { ...process.env, PTMON_TEST_COUNTS: counts },
    });
    return JSON.parse(readFileSync(counts, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const fail = `throw new Error('it fails');`;

test.each<[what: string, source: string, counts: object]>([
  [
    'passed, failed and skipped tests',
    `test('a', () => {}); test('b', () => { ${fail} }); test.skip('c', () => {});`,
    { passed: 1, failed: 1, skipped: 1 },
  ],
  ['a file that does not load', fail, { passed: 0, failed: 1, skipped: 0 }],
  ['a file without a test', '', { passed: 0, failed: 1, skipped: 0 }],
  [
    'hooks that throw beside a test that fails',
    `for (const name of ['a', 'b']) describe(name, () => { beforeAll(() => { ${fail} }); test('c', () => {}); }); test('d', () => { ${fail} });`,
    { passed: 0, failed: 3, skipped: 2 },
  ],
  [
    'a skipped suite inside a skipped suite',
    `test('a', () => {}); describe.skip('b', () => { describe.skip('c', () => { test('d', () => {}); }); });`,
    { passed: 1, failed: 0, skipped: 1 },
  ],
  [
    'an unhandled rejection',
    `test('a', () => { void Promise.reject(new Error('nobody waits')); });`,
    { passed: 1, failed: 1, skipped: 0 },
  ],
])('counts %s', (_what, source, counts) => {
  expect(countsOf(source)).toEqual(counts);
});

test('counts a run that ends at its first failure', () => {
  const source = `test('a', () => { ${fail} }); test('b', () => {});`;
  expect(countsOf(source, ['--bail=1'])).toEqual({ passed: 0, failed: 1, skipped: 1 });
});
