/** `npm run NAME -- --help` of every script, and arguments that are not what it takes. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };

/** What npm gives arguments to: the last command. Of the package's own command, test/cli has the help. */
const OURS = Object.entries(scripts)
  .map(([name, line]) => ({ name, words: line.split('&&').at(-1)!.trim().split(' ') }))
  .filter(({ words: [program, , built = ''] }) => program === 'node' && !built.startsWith('dist/'));

function run(words: readonly string[]) {
  return spawnSync(process.execPath, words, { cwd: ROOT, encoding: 'utf8' });
}

describe('--help', () => {
  test.each(OURS.filter(({ name }) => name !== 'prepack'))('npm run $name', ({ name, words: [, ...script] }) => {
    const { status, stdout, stderr } = run([...script, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`npm (?:run )?${name}\\b`));
    expect(stdout).not.toMatch(/^ ?\*|[`/]\*/m);
  });
});

test.each([
  [['scripts/measure-start.mjs', 'x'], 'measure:start: give one positive integer, not "x"'],
  [['scripts/measure-start.mjs', '0'], 'measure:start: give one positive integer, not "0"'],
  [['scripts/simulate-fleet.mjs', '1.5'], 'fleet:simulate: give one positive integer, not "1.5"'],
  [['scripts/simulate-fleet.mjs', '2', '3'], 'fleet:simulate: give one positive integer, not "2 3"'],
])('%j is refused', (words, message) => {
  const { status, stdout, stderr } = run(words);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toContain(message);
});
