/** What the built package shows to those who use it. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/index.ts';

const ROOT = join(import.meta.dirname, '../..');

test('an error that a program does not catch is printed with one statement, not with the whole bundle', () => {
  const library = JSON.stringify(join(ROOT, 'dist/guest/index.js'));
  const program = `import { attach } from ${library}; await attach('no-such-vm');`;
  const { stderr, status } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  expect(status).toBe(1);
  expect(stderr).toContain('no-such-vm');
  expect(stderr.length).toBeLessThan(3000);
});

test('no line of the bundle fills a terminal', () => {
  const chunks = join(ROOT, 'dist/chunks');
  const longest = readdirSync(chunks)
    .filter((name) => name.endsWith('.js'))
    .map((name) =>
      Math.max(
        ...readFileSync(join(chunks, name), 'utf8')
          .split('\n')
          .map(({ length }) => length),
      ),
    );
  expect(Math.max(...longest)).toBeLessThan(4000);
});

test('the package tells npm of the manual page of each command, compressed', () => {
  const { man } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly man: readonly string[] };
  const names = COMMANDS.filter(({ isHidden }) => isHidden !== true).map(({ name }) => `ptmon-${name}`);
  expect([...man].sort()).toEqual(['ptmon', ...names].map((name) => `./dist/man/${name}.1.gz`).sort());
  expect(readdirSync(join(ROOT, 'dist/man')).map((name) => `./dist/man/${name}`)).toEqual([...man].sort());
});
