/** The completion scripts in real shells, with the built command. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SHELLS } from '../../../src/cli/completion/scripts.ts';
import { run } from '../run.ts';

const MAIN = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const timeout = 60_000;
const isThere = (shell: string) => spawnSync(shell, ['--version']).status === 0;

let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ptmon-completion-'));
  const program = join(folder, 'ptmon');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  chmodSync(program, 0o755);
  for (const name of ['a.trace', 'b.trace', 'c.core']) writeFileSync(join(folder, name), '');
  env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
});
afterAll(() => rmSync(folder, { recursive: true }));

function shell(program: string, script: string): string[] {
  const { stdout, stderr } = spawnSync(program, ['-c', script], { cwd: folder, env, encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((line) => line !== '');
}

describe.skipIf(!isThere('bash'))('bash', { timeout }, () => {
  const completed = (...words: string[]): string[] =>
    shell(
      'bash',
      `source <(ptmon completion bash); compopt() { :; }
       COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _ptmon
       printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
  test.each([
    [
      ['ptmon', 'ma'],
      ['maps', 'map'],
    ],
    [
      ['ptmon', 'map', '--w'],
      ['--wx', '--writable'],
    ],
    [['ptmon', 'demo', '--mode', '=', 'p'], ['pae']],
    [
      ['ptmon', 'demo', '--mode', '='],
      ['4-level', '5-level', 'pae', '32-bit'],
    ],
    [
      ['ptmon', 'replay', ''],
      ['a.trace', 'b.trace'],
    ],
  ])('%j', (words, expected) => {
    expect(completed(...words).sort()).toEqual([...expected].sort());
  });

  test('a name that a guest chose means nothing to the shell', () => {
    const found = shell(
      'bash',
      `source <(ptmon completion bash)
       ptmon() { printf '%s\\t%s\\n' '$(touch harm); x' 'name' plain ''; echo :none; }
       COMP_WORDS=(ptmon watch --comm ''); COMP_CWORD=3; _ptmon
       printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
    expect(found).toEqual([String.raw`\$\(touch\ harm\)\;\ x`, 'plain']);
  });

  test('a word that is a command of the shell is not executed', () => {
    expect(completed('ptmon', '$(touch harm)', '')).toEqual([]);
    expect(shell('bash', 'ls')).not.toContain('harm');
  });
});

describe.skipIf(!isThere('fish'))('fish', { timeout }, () => {
  test.each([
    ['ptmon ma', ['map\tlist what an address space maps', 'maps\tlist the memory areas of a process of a Linux guest']],
    ['ptmon replay ', ['a.trace', 'b.trace']],
    ['ptmon demo --mode=p', ['--mode=pae']],
  ])('%s', (line, expected) => {
    const found = shell('fish', `ptmon completion fish | source; complete -C'${line}'`);
    expect(found.slice(0, expected.length)).toEqual(expected);
  });
});

test.skipIf(!isThere('zsh'))('zsh takes its script', { timeout }, () => {
  expect(shell('zsh', 'compdef() { print "$@" }; source <(ptmon completion zsh)')).toEqual(['_ptmon ptmon']);
});

test.each(SHELLS)('the script of %s ends with a line feed', async (name) => {
  const { code, stdout } = await run(['completion', name]);
  expect({ code, end: stdout.at(-1) }).toEqual({ code: 0, end: '\n' });
});

test('another shell is refused with those that are supported', async () => {
  const { code, stderr } = await run(['completion', 'tcsh']);
  expect(code).toBe(2);
  expect(stderr).toContain('tcsh: not one of bash, zsh, fish');
});
