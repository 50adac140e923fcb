/** What every command of a fresh clone needs first: the dependencies and the build. Nothing is done twice. */
import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import process from 'node:process';
import { isBundleStale } from './bundle.mjs';
import { runChild, toolCommand } from './run-child.mjs';

/** What npm prints where there is no network. */
export const UNREACHABLE =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT/;

/** @param {string} message */
function fail(message, code = 1) {
  process.stderr.write(`ptmon: ${message}\n`);
  process.exit(code);
}

/** Refuses a Node that is too old for what comes next, before that fails in its own words. */
function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`Node 20.19 or newer is needed; this is ${process.versions.node}.`);
  }
}

/** Milliseconds since the epoch; 0 for a file that is not there. @param {string} path */
function changedAt(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

/** npm as it was called, so that the same one goes on; else the one on the PATH. */
function npmCommand() {
  const path = process.env['npm_execpath'] ?? '';
  return basename(path).startsWith('npm') ? [process.execPath, path] : ['npm'];
}

/** `npm ci`, unless what the lockfile names is already there. */
async function install() {
  // npm writes this file last, so an installation that was interrupted is done again.
  if (changedAt('node_modules/.package-lock.json') >= changedAt('package-lock.json')) return;

  process.stderr.write('ptmon: installing dependencies (npm ci), once\n');
  const npm = [...npmCommand(), 'ci', '--include=dev', '--no-audit', '--no-fund'];
  const { code, output } = await runChild(npm, { output: 'stderr' });
  if (code === 0) return;
  const unreachable = UNREACHABLE.exec(output);
  if (unreachable) {
    fail(
      `the dependencies could not be fetched: npm did not reach its package registry (${unreachable[0]}). ` +
        "Check the network and npm's proxy and registry settings, then run the same command again.",
    );
  }
  if (output.includes('EUSAGE')) {
    fail('the dependencies were not installed: package.json and package-lock.json disagree. `npm install` mends that.');
  }
  if (code === 127) fail('the dependencies were not installed: there is no npm on the PATH.');
  fail(`the dependencies were not installed: npm ci ended with exit code ${code}; what it said is above.`);
}

/**
 * `tsc -b`, which does only what has changed.
 *
 * @param {string} project the folder of a tsconfig.json
 * @param {string} product a file that the build makes
 */
function tscCommand(project, product) {
  const command = [...toolCommand('typescript', 'tsc'), '-b', project];
  // tsc trusts its own notes about what it has built: a product that was deleted has to be asked for.
  return existsSync(product) ? command : [...command, '--force'];
}

/** A declaration that the compiler writes for `src`; scripts/bundle.mjs makes its JavaScript. */
const DECLARATIONS = 'dist/index.d.ts';

/**
 * Builds a project, or ends this process.
 *
 * @param {string} project as for `tscCommand`
 * @param {string} [product] as for `tscCommand`; `src` needs none
 */
async function build(project, product = DECLARATIONS) {
  const { code } = await runChild(tscCommand(project, product), { output: 'stderr' });
  if (code !== 0) fail(`the build of ${project} failed: see the compiler's messages above.`);
  if (project === 'src') await bundle();
}

/** The JavaScript of `src`, unless it is up to date. Ends this process if that fails. */
async function bundle() {
  if (!isBundleStale()) return;
  const { code } = await runChild([process.execPath, 'scripts/bundle.mjs'], { output: 'stderr' });
  if (code !== 0) fail("the bundle of src failed: see the bundler's messages above.");
}

export { build, bundle, DECLARATIONS, install, npmCommand, requireNode, tscCommand };
