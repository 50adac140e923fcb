import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, test } from 'vitest';
import { BASES } from '../drivers/dump/fuzz/bases.ts';
import { dumpFile } from '../drivers/dump/write-dump.ts';

const SCRIPT = 'docs/examples/first-script.mjs';
const DUMP_SCRIPT = 'docs/examples/dump-script.mjs';

test.each([SCRIPT, DUMP_SCRIPT])('the README shows %s as it is', (script) => {
  expect(readFileSync('README.md', 'utf8')).toContain(readFileSync(script, 'utf8'));
});

/** The package finds itself by name from anywhere below its own package.json. */
function runScript(script: string, ...args: readonly string[]): string[] {
  const folder = mkdtempSync(join('build', 'script-'));
  try {
    copyFileSync(script, join(folder, 'script.mjs'));
    return execFileSync(process.execPath, [join(folder, 'script.mjs'), ...args], { encoding: 'utf8' })
      .trim()
      .split('\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the first script prints what processes gain and lose', () => {
  const lines = runScript(SCRIPT);
  expect(lines.length).toBeGreaterThan(20);
  for (const line of lines) expect(line).toMatch(/^page-(in|out) \w+\[\d+\] [0-9a-f]+ -> [0-9a-f]+$/);
  expect(lines.some((line) => line.startsWith('page-out'))).toBe(true);
});

test('the script for dumps prints what is writable', () => {
  expect(runScript(DUMP_SCRIPT, dumpFile(BASES.elf[0]!))).toEqual([
    '400000 32768 can be executed',
    'ffff888000000000 1228800 can be executed',
  ]);
});
