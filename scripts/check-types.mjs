/**
 * Compiles a program that uses the package's types as its users do (test/types/consumer.ts): the declarations that npm packs, checked, with
 * the oldest TypeScript that the package promises and with the project's own. The build must be there.
 *
 * The oldest compiler has a folder and a lockfile of its own, because only one package can be `node_modules/typescript`. Without a network to
 * install it from, the check ends with the code `SKIPPED`; in CI it fails.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { npmCommand, UNREACHABLE } from './prepare.mjs';
import { runChild, SKIPPED, toolCommand } from './run-child.mjs';

const CONSUMER = 'test/types';
/** A user's project: the consumer, and the package as it is packed. */
const PROJECT = 'build/types';

process.chdir(join(import.meta.dirname, '..'));

/** @param {string} message @param {number} [code] @returns {never} */
function end(message, code = 1) {
  process.stdout.write(`${message.trimEnd()}\n`);
  process.exit(code);
}

/** @param {string} what @param {readonly string[]} command @param {string} [cwd] @returns {Promise<string>} what it printed */
async function run(what, command, cwd = '.') {
  const { code, output } = await runChild(command, { cwd, output: 'capture' });
  if (code === 0) return output;
  const isRequired = process.env['CI'] !== undefined || process.env['PTMON_LIVE'] === 'required';
  if (what === 'npm ci' && !isRequired && UNREACHABLE.test(output))
    end(`${CONSUMER}: npm ci did not reach its registry, so the types were not compiled with ${oldest}`, SKIPPED);
  return end(`${output}\n${what} in ${cwd} ended with exit code ${code}`);
}

const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const oldest = `TypeScript ${JSON.parse(readFileSync(join(CONSUMER, 'package.json'), 'utf8')).devDependencies.typescript}`;

const source = readFileSync(join(CONSUMER, 'consumer.ts'), 'utf8');
for (const path of Object.keys(exports)) {
  const entry = `ptmon${path.slice(1)}`;
  if (!path.endsWith('.json') && !source.includes(`'${entry}'`))
    end(`${CONSUMER}/consumer.ts: does not import '${entry}'`);
}

const installed = join(CONSUMER, 'node_modules/typescript/package.json');
if (!existsSync(installed) || `TypeScript ${JSON.parse(readFileSync(installed, 'utf8')).version}` !== oldest)
  await run('npm ci', [...npmCommand(), 'ci', '--no-audit', '--no-fund'], CONSUMER);

const packing = [...npmCommand(), 'pack', '--dry-run', '--json', '--ignore-scripts', '--silent'];
/** @type {{ files: { path: string }[] }[]} */
const [packed] = JSON.parse(await run('npm pack', packing));
rmSync(PROJECT, { recursive: true, force: true });
for (const file of ['consumer.ts', 'tsconfig.json']) cpSync(join(CONSUMER, file), join(PROJECT, file));
for (const { path } of packed?.files ?? []) {
  if (path !== 'package.json' && !path.endsWith('.d.ts')) continue;
  const target = join(PROJECT, 'node_modules/ptmon', path);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(path, target);
}

const [program = '', ...tsc] = toolCommand('typescript', 'tsc');
await run(oldest, [process.execPath, join(CONSUMER, 'node_modules/typescript/bin/tsc'), '-p', PROJECT]);
await run("the project's TypeScript", [program, ...tsc, '-p', PROJECT]);
process.stdout.write(`the package's types compile with ${oldest} and with the project's own\n`);
