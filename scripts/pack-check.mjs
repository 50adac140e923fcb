/**
 * Checks the package as its users will get it: packs it, asks publint and attw about the tarball, imports every export,
 * and calls the command. The build must be there.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { npmCommand } from './prepare.mjs';
import { runChild, toolCommand } from './run-child.mjs';

const FOLDER = 'build/package';

process.chdir(join(import.meta.dirname, '..'));
const { name, version, exports, bin } = JSON.parse(readFileSync('package.json', 'utf8'));

let failed = false;

/** @param {string} what @param {readonly string[]} command */
async function check(what, command) {
  const { code, output } = await runChild(command, { output: 'capture' });
  if (code === 0) return;
  process.stdout.write(`${output}${what} ended with exit code ${code}\n`);
  failed = true;
}

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
await check('npm pack', [...npmCommand(), 'pack', '--ignore-scripts', '--silent', '--pack-destination', FOLDER]);
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
