/** The documents: their scripts run with the package alone, their links lead somewhere, their commands exist. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BASES } from '../drivers/dump/fuzz/bases.ts';
import { dumpFile } from '../drivers/dump/write-dump.ts';
import { allDocuments, filesIn, fencesOf } from './markdown.ts';
import { installPackedPackage } from './packed-package.ts';

const DOCUMENTS = allDocuments();
const SCRIPTS = new Map(DOCUMENTS.flatMap((document) => [...filesIn(document)]));

describe('scripts', () => {
  let folder: string;

  beforeAll(() => {
    folder = installPackedPackage();
    for (const [name, text] of SCRIPTS) writeFileSync(join(folder, name), text);
  }, 120_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function run(...args: readonly string[]) {
    return spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  }

  function linesOf(...args: readonly string[]): string[] {
    const { status, stdout, stderr } = run(...args);
    expect(status, `node ${args.join(' ')}\n${stdout}${stderr}`).toBe(0);
    return stdout.trim().split('\n');
  }

  test('the types of the package fit all of them', () => {
    symlinkSync(resolve('node_modules/@types'), join(folder, 'node_modules', '@types'), 'junction');
    const options = '--noEmit --allowJs --checkJs --strict --module nodenext --target es2023 --types node'.split(' ');
    expect(SCRIPTS.size).toBeGreaterThan(6);
    linesOf(resolve('node_modules/typescript/bin/tsc'), ...options, ...SCRIPTS.keys());
  });

  test('sim.mjs prints what processes gain and lose', () => {
    const lines = linesOf('sim.mjs');
    expect(lines.length).toBeGreaterThan(20);
    for (const line of lines) expect(line).toMatch(/^page-(in|out) \w+\[\d+\] [0-9a-f]+ -> [0-9a-f]+$/);
    expect(lines.some((line) => line.startsWith('page-out'))).toBe(true);
  });

  test('replay.mjs prints the events of one page of a recording', () => {
    const events = linesOf(resolve('dist/cli/main.js'), 'replay', resolve('traces/tour.trace'), '--json').map((line) =>
      JSON.parse(line),
    );
    const { root, va } = events.find(({ kind }) => kind === 'page-out');
    const lines = linesOf('replay.mjs', resolve('traces/tour.trace'), root, va);
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines) expect(line).toMatch(/^page-(in|out) [0-9a-f]+ -> [0-9a-f]+$/);
  });

  test('writable-ranges.mjs prints what is writable in a dump', () => {
    expect(linesOf('writable-ranges.mjs', dumpFile(BASES.elf[0]!))).toEqual([
      '400000 32768 executable',
      'ffff888000000000 1228800 executable',
    ]);
  });

  test('monitor.mjs prints the page-in', () => {
    const text = linesOf('monitor.mjs').join('\n');
    expect(text).toContain("kind: 'page-in'");
    expect(text).toContain('pa: 20771'); // 0x5123
  });

  test('drivers.md: the commands are those that the next tests run', () => {
    expect(fencesOf('docs/drivers.md').find(({ language }) => language === 'sh')?.text).toBe(
      'npm install ptmon\nnode watch.mjs\nnode --test my-driver.test.mjs\n',
    );
  });

  test('drivers.md: the session prints what the document says', () => {
    const lines = linesOf('watch.mjs');
    expect(lines.slice(0, 3)).toEqual(['page-in 100000', 'page-out 100000', 'page-in 101000']);
    expect(lines.length).toBe(199);
  });

  test('drivers.md: the driver keeps the contract', () => {
    const output = linesOf('--test', '--test-reporter=tap', 'my-driver.test.mjs').join('\n');
    expect(output).toMatch(/^# fail 0$/m);
    expect(Number(/^# pass (\d+)$/m.exec(output)?.[1])).toBeGreaterThan(12);
  });

  test('watch-heap.mjs names the VMs that there are, where there is no such VM', () => {
    const { status, stderr } = run('watch-heap.mjs', 'no-such-vm', 'nginx');
    expect(status).toBe(1);
    expect(stderr).toContain('no-such-vm');
  });
});

describe.each(DOCUMENTS)('%s', (document) => {
  const text = readFileSync(document, 'utf8');

  test('its links lead to files and headings that exist', () => {
    for (const [, target] of text.replaceAll(/```[^]*?```/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path = '', heading] = target!.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      expect(existsSync(file), `${document} links to ${target}`).toBe(true);
      if (heading !== undefined) expect(headingsOf(file), `${document} links to ${target}`).toContain(heading);
    }
  });

  test('its npm scripts exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
    for (const [, name] of text.matchAll(/\bnpm run (?:--silent )?([\w:-]+)/g))
      expect(scripts, name).toHaveProperty([name!]);
  });

  // A process for each command.
  test('its commands and their options exist', { timeout: 120_000 }, () => {
    const commands = text.matchAll(/(?:^|`)ptmon ([a-z]+)((?: [^`\n]*)?)/gm);
    for (const [, verb, rest] of commands) {
      const { status, stdout } = help(verb!);
      expect(status, `ptmon ${verb}`).toBe(0);
      const known = stdout.match(/--[a-z-]+/g);
      for (const option of rest!.split(/ #/)[0]!.match(/(?<= )--[a-z-]+/g) ?? [])
        expect(known, `ptmon ${verb} ${option}`).toContain(option);
    }
  });
});

test('the README is short', () => {
  expect(readFileSync('README.md', 'utf8').split('\n').length).toBeLessThanOrEqual(151);
  expect(fencesOf('README.md').length).toBeGreaterThan(4);
});

const helps = new Map<string, { status: number | null; stdout: string }>();

function help(verb: string) {
  let known = helps.get(verb);
  if (known === undefined) {
    known = spawnSync(process.execPath, ['dist/cli/main.js', verb, '--help'], { encoding: 'utf8' });
    helps.set(verb, known);
  }
  return known;
}

/** The anchors of a document's headings, as GitHub makes them. */
function headingsOf(document: string): string[] {
  const lines = readFileSync(document, 'utf8').match(/^#+ .*/gm) ?? [];
  return lines.map((line) =>
    line
      .replace(/^#+ /, '')
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}
