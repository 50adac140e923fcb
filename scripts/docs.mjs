/**
 * `npm run docs -- [ARGUMENTS OF TYPEDOC]`: writes the API reference, from the docstrings of every public entry, into docs/api/html.
 * typedoc needs a TypeScript with a JavaScript interface, so it has a folder and a lockfile of its own, which this installs.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { answerHelp } from './help.mjs';
import { npmCommand } from './prepare.mjs';
import { runChild } from './run-child.mjs';

answerHelp(import.meta.filename);

const FOLDER = join(import.meta.dirname, '../docs/api');

if (!existsSync(join(FOLDER, 'node_modules/.package-lock.json'))) {
  const { code } = await runChild([...npmCommand(), 'ci', '--no-audit', '--no-fund'], {
    cwd: FOLDER,
    output: 'stderr',
  });
  if (code !== 0) process.exit(code);
}
const typedoc = [process.execPath, 'node_modules/typedoc/bin/typedoc', ...process.argv.slice(2)];
process.exitCode = (await runChild(typedoc, { cwd: FOLDER })).code;
