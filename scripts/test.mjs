/**
 * `npm test -- [ARGUMENTS OF VITEST]`: every check, one line each, then the tests. Installs and builds what is missing.
 * `npm test -- test/core -t C5` runs the tests of one folder and one rule; `npx vitest --help` lists all arguments.
 * The last line is `N passed, N failed`, in which every check counts as one test.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { answerHelp } from './help.mjs';
import { bundle, DECLARATIONS, install, requireNode, tscCommand } from './prepare.mjs';
import { runChild, SKIPPED, toolCommand } from './run-child.mjs';

/** Where the reporter leaves what vitest counted. */
const COUNTS = 'build/test-counts.json';

answerHelp(import.meta.filename);
requireNode();
process.chdir(join(import.meta.dirname, '..'));
await install();

const total = { passed: 0, failed: 0, skipped: 0 };

/** @typedef {{ name: string, code: number, output: string, seconds: number }} Result */

/** @param {string} name @param {readonly string[]} command @returns {Promise<Result>} */
async function check(name, command) {
  const start = performance.now();
  const { code, output } = await runChild(command, { output: 'capture' });
  return { name, code, output, seconds: (performance.now() - start) / 1000 };
}

/** @param {Result} result */
function report({ name, code, output, seconds }) {
  const outcome = code === 0 ? 'passed' : code === SKIPPED ? 'skipped' : 'failed';
  const word = { passed: 'ok', skipped: 'skipped', failed: 'FAILED' }[outcome];
  process.stdout.write(`${name.padEnd(8)} ${word.padEnd(7)} ${seconds.toFixed(1).padStart(5)} s\n`);
  if (code !== 0) process.stdout.write(output.endsWith('\n') ? output : `${output}\n`);
  total[outcome] += 1;
}

// The package check and the tests of the command need the build.
report(await check('types', tscCommand('.', DECLARATIONS)));
await bundle();

const checks = [
  check('lint', [...toolCommand('oxlint'), '--format=unix']),
  check('format', [...toolCommand('@biomejs/biome', 'biome'), 'format', '--reporter=summary', '--colors=off']),
  check('imports', [process.execPath, 'scripts/check-imports.mjs']),
  check('unused', [...toolCommand('knip'), '--no-progress']),
  check('package', [process.execPath, 'scripts/pack-check.mjs']),
  check('api', [process.execPath, 'scripts/check-types.mjs']),
];
for (const result of checks) report(await result);

mkdirSync('build', { recursive: true });
rmSync(COUNTS, { force: true });
const look = ['--reporter=./scripts/vitest-reporter.mjs', ...(process.stdout.isTTY ? [] : ['--no-color'])];
const vitest = [...toolCommand('vitest'), 'run', ...look, ...process.argv.slice(2)];
const { code } = await runChild(vitest, { env: { ...process.env, PTMON_TEST_COUNTS: COUNTS } });
const counts = existsSync(COUNTS) ? JSON.parse(readFileSync(COUNTS, 'utf8')) : { passed: 0, failed: 0, skipped: 0 };
total.passed += counts.passed;
// vitest also fails without a failed test: it cannot read its configuration, finds no test, or is killed.
total.failed += code !== 0 && counts.failed === 0 ? 1 : counts.failed;
total.skipped += counts.skipped;

const skipped = total.skipped === 0 ? '' : `, ${total.skipped} skipped`;
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
