/** `--help` of the npm scripts: the comment at the top of the program is its help. */
import { readFileSync } from 'node:fs';
import process from 'node:process';

/**
 * Prints the help and ends this process where the arguments ask for it. Call it first: a help installs and builds nothing.
 *
 * @param {string} file of which the first comment is the help
 */
export function answerHelp(file) {
  if (!process.argv.slice(2).some((word) => word === '--help' || word === '-h')) return;
  const [, comment = ''] = /\/\*\*([^]*?)\*\//.exec(readFileSync(file, 'utf8')) ?? [];
  process.stdout.write(
    `${comment
      .replaceAll(/^ \* ?/gm, '')
      .replaceAll('`', '')
      .trim()}\n`,
  );
  process.exit();
}

/**
 * The one argument of a script: a positive integer. Ends this process with exit code 2 if it is something else.
 *
 * @param {string} name @param {number} missing what it defaults to
 */
export function countArgument(name, missing) {
  const [word, ...more] = process.argv.slice(2);
  const count = Number(word ?? missing);
  if (Number.isInteger(count) && count > 0 && more.length === 0) return count;
  process.stderr.write(`${name}: give one positive integer, not "${[word, ...more].join(' ')}" (--help explains it)\n`);
  process.exit(2);
}
