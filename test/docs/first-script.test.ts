import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, test } from 'vitest';

const SCRIPT = 'docs/examples/first-script.mjs';

test('the README shows the first script as it is', () => {
  expect(readFileSync('README.md', 'utf8')).toContain(readFileSync(SCRIPT, 'utf8'));
});

test('the first script prints what processes gain and lose', () => {
  // The package finds itself by name from anywhere below its own package.json.
  const folder = mkdtempSync(join('build', 'first-script-'));
  try {
    copyFileSync(SCRIPT, join(folder, 'script.mjs'));
    const lines = execFileSync(process.execPath, [join(folder, 'script.mjs')], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(lines.length).toBeGreaterThan(20);
    for (const line of lines) expect(line).toMatch(/^page-(in|out) \w+\[\d+\] [0-9a-f]+ -> [0-9a-f]+$/);
    expect(lines.some((line) => line.startsWith('page-out'))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
