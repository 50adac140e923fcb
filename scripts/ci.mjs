/**
 * What `.ci/run` runs: the README's two commands in a copy of the tracked files on a host that has only Node, npm and POSIX's basic
 * programs, then `npm test` with all that this host has. QEMU, compilers and caches are hidden by another PATH and another HOME, so what the
 * second needs is installed while the first runs. Last, the tests of what depends on how QEMU behaves, with a newer QEMU.
 * The last line is `N passed, N failed`, of all; `npm start` counts as one.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { runChild } from './run-child.mjs';

/** What every system has and the tests use. */
const PROGRAMS =
  'sh env cat chmod cp cut date dirname basename echo head kill ln ls mkdir mkfifo mv printf pwd readlink rm rmdir sleep tail touch tr true wc';

/** Where `.ci/newer-qemu` puts it. */
const NEWER_QEMU = 'build/newer-qemu/usr/bin';

/** Of the live tests, those of the gdbstub, QMP and the plugin. */
const OF_QEMU = [
  'exact',
  'other-clients',
  'broken-sockets',
  'restored-memory',
  'guest-memory',
  'counting-guest',
  'plugin',
];

const LAST_LINE = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/m;

const total = { passed: 0, failed: 0, skipped: 0 };

/** @param {string} program @returns {string | undefined} */
function find(program) {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

/** A host with little on it, in a folder: its environment. @param {string} folder @returns {NodeJS.ProcessEnv} */
function bareHost(folder) {
  const bin = join(folder, 'bin');
  const home = join(folder, 'home');
  for (const path of [bin, home]) mkdirSync(path);
  symlinkSync(process.execPath, join(bin, 'node'));
  for (const program of ['npm', ...PROGRAMS.split(' ')]) {
    const path = find(program);
    // The link's own name tells coreutils in one file which of them to be.
    if (path !== undefined) symlinkSync(program === 'npm' ? realpathSync(path) : path, join(bin, program));
  }
  // npm's settings and its cache stay: they say where packages come from.
  const npm = (/** @type {string} */ name) => execFileSync('npm', ['config', 'get', name], { encoding: 'utf8' }).trim();
  return { PATH: bin, HOME: home, npm_config_cache: npm('cache'), npm_config_userconfig: npm('userconfig') };
}

/** @param {string} target */
function copyTracked(target) {
  const files = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(existsSync);
  for (const file of files) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    cpSync(file, join(target, file));
  }
}

/**
 * Runs `npm test`, prints its output and adds its counts.
 *
 * @param {string} cwd @param {NodeJS.ProcessEnv} env @param {readonly string[]} [chosen] arguments of vitest
 */
async function test(cwd, env, chosen = []) {
  const { code, output } = await runChild(['npm', 'test', '--', ...chosen], { cwd, env, output: 'stderr' });
  const [passed, failed, skipped] = (LAST_LINE.exec(output.trimEnd().split('\n').at(-1) ?? '') ?? []).slice(1);
  total.passed += Number(passed ?? 0);
  // Without a last line, or with one that the exit code denies, something failed that is no test.
  total.failed += code !== 0 && Number(failed ?? 0) === 0 ? 1 : Number(failed ?? 1);
  total.skipped += Number(skipped ?? 0);
}

process.chdir(join(import.meta.dirname, '..'));
const installed = runChild(['.ci/install'], { output: 'capture' });
const folder = mkdtempSync(join(tmpdir(), 'ptmon-bare-'));
try {
  const clone = join(folder, 'ptmon');
  const env = bareHost(folder);
  copyTracked(clone);
  process.stderr.write('ptmon: npm start and npm test in a fresh clone, with Node and npm alone\n');
  const { code } = await runChild(['npm', 'start'], { cwd: clone, env, output: 'stderr' });
  total[code === 0 ? 'passed' : 'failed'] += 1;
  await test(clone, env);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stderr.write('ptmon: what was installed meanwhile\n');
process.stderr.write((await installed).output);
process.stderr.write('ptmon: npm test with all that this host has\n');
const everything = { ...process.env, PTMON_LIVE: 'required' };
await test('.', everything);
if (existsSync(NEWER_QEMU)) {
  process.stderr.write('ptmon: what depends on how QEMU behaves, with a newer QEMU\n');
  const PATH = [resolve(NEWER_QEMU), process.env['PATH']].join(delimiter);
  const files = OF_QEMU.map((name) => `test/live/${name}.test.ts`);
  await test('.', { ...everything, PATH }, ['--project', 'live', ...files]);
}

const skipped = total.skipped === 0 ? '' : `, ${total.skipped} skipped`;
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
