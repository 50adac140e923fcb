/**
 * `npm run pack-check`, its last part: checks the package as its users will get it: packs it, asks publint and attw about the tarball, imports every export,
 * and calls the command. The build must be there.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { answerHelp } from './help.mjs';
import { npmCommand } from './prepare.mjs';
import { runChild, toolCommand } from './run-child.mjs';

answerHelp(import.meta.filename);

const FOLDER = 'build/package';
/** Limits of what npm installs: files, and bytes without the traces. */
const MAX_FILES = 400;
const MAX_BYTES = 1_500_000;

process.chdir(join(import.meta.dirname, '..'));
const { name, version, exports, bin } = JSON.parse(readFileSync('package.json', 'utf8'));

let failed = false;

/** @param {string} what @param {readonly string[]} command @returns {Promise<string>} what it printed */
async function check(what, command) {
  const { code, output } = await runChild(command, { output: 'capture' });
  if (code !== 0) fail(`${output}${what} ended with exit code ${code}`);
  return output;
}

/** @param {string} message */
function fail(message) {
  process.stdout.write(`${message}\n`);
  failed = true;
}

/** @param {string} report of `npm pack --json` */
function checkSize(report) {
  /** @type {{ files: { path: string, size: number }[] }[]} */
  const [packed] = JSON.parse(report);
  const files = packed?.files ?? [];
  const bytes = files.reduce((sum, { path, size }) => sum + (path.startsWith('traces/') ? 0 : size), 0);
  if (files.length >= MAX_FILES) fail(`the package has ${files.length} files; the limit is ${MAX_FILES}`);
  if (bytes >= MAX_BYTES) fail(`the package has ${bytes} bytes without its traces; the limit is ${MAX_BYTES}`);
}

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
const packing = [...npmCommand(), 'pack', '--json', '--ignore-scripts', '--silent', '--pack-destination', FOLDER];
const report = await check('npm pack', packing);
if (!failed) checkSize(report);
if (!failed) {
  const tarball = join(FOLDER, `${name}-${version}.tgz`);
  const imports = Object.keys(exports)
    .filter((path) => !path.endsWith('.json'))
    .map((path) => `await import('${join(name, path)}');`)
    .join(' ');
  await Promise.all([
    check('publint', [...toolCommand('publint'), tarball, '--strict']),
    check('attw', [...toolCommand('@arethetypeswrong/cli', 'attw'), tarball, '--profile', 'esm-only', '--no-emoji']),
    check('importing the exports', [process.execPath, '--input-type=module', '--eval', imports]),
    check(`${bin.ptmon} --version`, [process.execPath, bin.ptmon, '--version']),
  ]);
}
if (!failed) process.stdout.write('the packed package is whole\n');
process.exitCode = failed ? 1 : 0;
