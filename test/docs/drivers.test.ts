/** docs/drivers.md works with the package alone: its files run in a folder that has nothing else. */
import { spawnSync } from 'node:child_process';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fencesOf, filesIn } from './markdown.ts';
import { installPackedPackage } from './packed-package.ts';

const DOCUMENT = 'docs/drivers.md';
const FILES = filesIn(DOCUMENT);
let folder: string;

beforeAll(() => {
  folder = installPackedPackage();
  for (const [name, text] of FILES) writeFileSync(join(folder, name), text);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function node(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  expect(status, `node ${args.join(' ')}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

test('the commands are those that this test runs', () => {
  expect(fencesOf(DOCUMENT).find(({ language }) => language === 'sh')?.text).toBe(
    'npm install ptmon\nnode watch.mjs\nnode --test my-driver.test.mjs\n',
  );
  expect([...FILES.keys()]).toEqual(['my-driver.mjs', 'watch.mjs', 'my-driver.test.mjs']);
});

test('the session prints what the document says', () => {
  const lines = node('watch.mjs').trim().split('\n');
  expect(lines.slice(0, 3)).toEqual(['page-in 100000', 'page-out 100000', 'page-in 101000']);
  expect(lines.length).toBe(199);
});

test('the driver keeps the contract', () => {
  const output = node('--test', '--test-reporter=tap', 'my-driver.test.mjs');
  expect(output).toMatch(/^# fail 0$/m);
  expect(Number(/^# pass (\d+)$/m.exec(output)?.[1])).toBeGreaterThan(12);
});

test('the types of the package fit the files', () => {
  symlinkSync(resolve('node_modules/@types'), join(folder, 'node_modules', '@types'), 'junction');
  const tsc = resolve('node_modules/typescript/bin/tsc');
  const options = '--noEmit --allowJs --checkJs --strict --module nodenext --target es2023 --types node'.split(' ');
  node(tsc, ...options, ...FILES.keys());
});
