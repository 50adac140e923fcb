/**
 * Runs a built program, after installing and building what is missing: `node scripts/run.mjs PROGRAM ARGUMENTS…`.
 * Of a program that is no part of the package, `--help` is answered from the comment at the top of its source.
 *
 * The program runs in this process, so its exit code, its signals and its standard streams are its own. Standard output
 * carries nothing else.
 */
import { join, resolve } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { answerHelp } from './help.mjs';
import { build, install, requireNode } from './prepare.mjs';

const [program, ...args] = process.argv.slice(2);
if (program === undefined) throw new Error('usage: node scripts/run.mjs PROGRAM ARGUMENTS…');

requireNode();
process.chdir(join(import.meta.dirname, '..'));
if (program.startsWith('build/')) answerHelp(program.replace(/^build\/(.*)\.js$/, '$1.ts'));
await install();
const project = projectOf(program);
await build(project, project === 'src' ? undefined : program);

process.argv = [process.execPath, resolve(program), ...args];
await import(pathToFileURL(resolve(program)).href);

/** The project that makes a program. @param {string} path */
function projectOf(path) {
  if (path.startsWith('dist/')) return 'src';
  return path.startsWith('build/bench/') ? 'bench' : 'test';
}
