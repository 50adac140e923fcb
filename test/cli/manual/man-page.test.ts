import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands/index.ts';
import { run } from '../run.ts';

const VISIBLE = COMMANDS.filter(({ isHidden }) => isHidden !== true).map(({ name }) => name);

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ptmon-man-'));
  expect((await run(['manual', folder])).code).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

const page = (name: string): string => readFileSync(join(folder, `${name}.1`), 'utf8');
/** As a reader sees it. */
const plain = (roff: string): string =>
  roff
    .replaceAll(/\\f[BIR]/g, '')
    .replaceAll('\\-', '-')
    .replaceAll(/\\[e&]/g, '');

test('there is a page for each command, and one that lists them', () => {
  expect(readdirSync(folder).sort()).toEqual(['ptmon.1', ...VISIBLE.map((name) => `ptmon-${name}.1`)].sort());
  for (const name of VISIBLE) expect(plain(page('ptmon'))).toContain(`ptmon-${name}(1)`);
});

test.each(VISIBLE)('%s: every option and every example of its help', async (name) => {
  const { stdout } = await run([name, '--help'], { columns: 1000 });
  const text = plain(page(`ptmon-${name}`));
  for (const [option] of stdout.matchAll(/--[a-z][a-z-]+/g)) expect(text).toContain(option);
  for (const line of stdout.split('Examples:\n')[1]?.trim().split('\n') ?? []) {
    expect(text).toContain(line.replaceAll('…', '...').trim());
  }
});

describe.skipIf(spawnSync('groff', ['--version']).status !== 0)('groff', () => {
  test.each(['ptmon', ...VISIBLE.map((name) => `ptmon-${name}`)])('has nothing to say against %s(1)', (name) => {
    const { stderr } = spawnSync('groff', ['-man', '-ww', '-z', '-Tutf8', join(folder, `${name}.1`)], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
  });
});
