import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

// A clone with a compiler and a package manager of its own: what is tested is who is called, when, and what is said.
const FAKE_TSC = `
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
console.log('compiler output');
appendFileSync('calls.log', ['tsc', ...process.argv.slice(2)].join(' ') + '\\n');
mkdirSync('dist', { recursive: true });
writeFileSync('dist/index.d.ts', '');
`;
const FAKE_ROLLDOWN = `
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
export async function rolldown({ input }) {
  return {
    // The page.
    async generate() {
      return { output: [] };
    },
    async write() {
      // The declarations are a bundle of their own.
      if (!('cli/main' in input)) return { output: [] };
      console.log('bundler output');
      appendFileSync('calls.log', 'rolldown\\n');
      mkdirSync('dist/cli', { recursive: true });
      writeFileSync('dist/cli/main.js', 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = process.argv[2] === "manual" ? 0 : 7;');
      return { output: [{ fileName: 'cli/main.js' }] };
    },
    async close() {},
  };
}
`;
const FAKE_NPM = `
const { appendFileSync, cpSync, writeFileSync } = require('node:fs');
console.log('package manager output');
appendFileSync('calls.log', ['npm', process.argv[2]].join(' ') + '\\n');
if (process.env.NPM_SAYS) {
  console.error(process.env.NPM_SAYS);
  process.exit(1);
}
cpSync('packages', 'node_modules', { recursive: true });
writeFileSync('node_modules/.package-lock.json', '{}');
`;

let clone: string;

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'ptmon-clone-'));
  cpSync(join(import.meta.dirname, '../../scripts'), join(clone, 'scripts'), { recursive: true });
  writeFileSync(join(clone, 'package-lock.json'), '{}');
  mkdirSync(join(clone, 'packages/typescript'), { recursive: true });
  writeFileSync(join(clone, 'packages/typescript/package.json'), '{"type":"module","bin":{"tsc":"tsc.js"}}');
  writeFileSync(join(clone, 'packages/typescript/tsc.js'), FAKE_TSC);
  mkdirSync(join(clone, 'packages/rolldown'), { recursive: true });
  writeFileSync(
    join(clone, 'packages/rolldown/package.json'),
    '{"type":"module","exports":{".":"./rolldown.js","./utils":"./utils.js","./parseAst":"./parse.js"}}',
  );
  writeFileSync(join(clone, 'packages/rolldown/utils.js'), 'export const minifySync = () => {};');
  writeFileSync(join(clone, 'packages/rolldown/parse.js'), 'export const parseAst = () => {};');
  mkdirSync(join(clone, 'packages/rolldown-plugin-dts'), { recursive: true });
  writeFileSync(join(clone, 'packages/rolldown-plugin-dts/package.json'), '{"type":"module","exports":"./dts.js"}');
  writeFileSync(join(clone, 'packages/rolldown-plugin-dts/dts.js'), 'export const dts = () => {};');
  mkdirSync(join(clone, 'packages/uplot/dist'), { recursive: true });
  writeFileSync(join(clone, 'packages/uplot/package.json'), '{}');
  writeFileSync(join(clone, 'packages/uplot/dist/uPlot.min.css'), '');
  writeFileSync(join(clone, 'packages/rolldown/rolldown.js'), FAKE_ROLLDOWN);
  writeFileSync(join(clone, 'package.json'), '{"type":"module","exports":{}}');
  mkdirSync(join(clone, 'src/web/page'), { recursive: true });
  writeFileSync(join(clone, 'src/web/page/app.css'), '');
  writeFileSync(join(clone, 'src/a.ts'), '');
  writeFileSync(join(clone, 'npm-fake.cjs'), FAKE_NPM);
});

afterEach(() => {
  rmSync(clone, { recursive: true });
});

function start(
  args: string[] = [],
  env: NodeJS.ProcessEnv = {},
): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(clone, 'scripts/run.mjs'), 'dist/cli/main.js', 'demo', ...args],
    { encoding: 'utf8', env: { ...process.env, npm_execpath: join(clone, 'npm-fake.cjs'), ...env } },
  );
  return { code: status, stdout, stderr };
}

function calls(): string[] {
  const log = join(clone, 'calls.log');
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [];
  rmSync(log, { force: true });
  return lines;
}

describe('npm start in a fresh clone', () => {
  test('installs, builds and runs; standard output is the program’s alone, and so is the exit code', () => {
    const { code, stdout, stderr } = start(['--seed', '3']);
    expect(calls()).toEqual(['npm ci', 'tsc -b src --force', 'rolldown']);
    expect(stdout).toBe('["demo","--seed","3"]\n');
    expect(stderr).toContain('package manager output');
    expect(stderr).toContain('compiler output');
    expect(stderr).toContain('bundler output');
    expect(code).toBe(7);
  });

  test('tests of one file that are started by hand have the command built as well, once', () => {
    start();
    rmSync(join(clone, 'dist'), { recursive: true });
    calls();
    const setup = "import('./scripts/vitest-bundle.mjs').then(({ default: setup }) => setup())";
    const setUp = () => spawnSync(process.execPath, ['--eval', setup], { cwd: clone, encoding: 'utf8' });
    expect(setUp()).toMatchObject({ status: 0, stdout: '' });
    expect(calls()).toEqual(['tsc -b src --force', 'rolldown']);
    expect(setUp().status).toBe(0);
    expect(calls()).toEqual([]);
  });

  test('installs once, and again when the lockfile is newer; builds what a deleted product or a changed source needs', () => {
    start();
    calls();
    start();
    expect(calls()).toEqual(['tsc -b src']);

    rmSync(join(clone, 'dist'), { recursive: true });
    start();
    expect(calls()).toEqual(['tsc -b src --force', 'rolldown']);

    writeFileSync(join(clone, 'src/b.ts'), '');
    start();
    expect(calls()).toEqual(['tsc -b src', 'rolldown']);

    const later = new Date(Date.now() + 60_000);
    utimesSync(join(clone, 'package-lock.json'), later, later);
    start();
    expect(calls()).toEqual(['npm ci', 'tsc -b src']);
  });

  const failures: [says: string, sentence: string][] = [
    ['npm error code ENOTFOUND', 'npm did not reach its package registry (ENOTFOUND). Check the network'],
    ['npm error code ECONNREFUSED', 'npm did not reach its package registry (ECONNREFUSED). Check the network'],
    ['npm error code EUSAGE', 'package.json and package-lock.json disagree'],
    ['npm error disk full', 'npm ci ended with exit code 1; what it said is above'],
  ];

  test.each(failures)('says what is the matter when npm ci fails: %s', (says, sentence) => {
    const { code, stdout, stderr } = start([], { NPM_SAYS: says });
    expect(stderr).toContain(says);
    expect(stderr).toContain(sentence);
    expect(stdout).toBe('');
    expect(code).toBe(1);
    expect(calls()).toEqual(['npm ci']);
  });
});
