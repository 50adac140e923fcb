/** Child processes that behave as if they were this one: their output, their exit code, their signals. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

const FORWARDED = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/** The exit code of a check that this host cannot run: EX_UNAVAILABLE of sysexits.h. */
export const SKIPPED = 69;

/** How long a child may take to end after a signal. */
const GRACE_MS = 2000;

/**
 * Runs a program to its end. A signal to this process goes to the child; once that is gone, this process ends too, with
 * the code that a shell shows for the signal (130 after Ctrl-C).
 *
 * @param {readonly string[]} command the program and its arguments
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, output?: 'inherit' | 'stderr' | 'capture' }} [options] where its output goes:
 *   to ours, all of it to our standard error, or only into the answer
 * @returns {Promise<{ code: number, output: string }>} the code that a shell would show, and both of its output streams
 *   where they were not inherited
 */
export function runChild([program = '', ...args], { cwd = '.', env = process.env, output = 'inherit' } = {}) {
  /** @type {import('node:child_process').StdioOptions} */
  const stdio = output === 'inherit' ? 'inherit' : ['ignore', 'pipe', 'pipe'];
  /** @type {import('node:child_process').ChildProcess} */
  const child = spawn(program, args, { cwd, env, stdio });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
      if (output === 'stderr') process.stderr.write(chunk);
    });
  }

  /** @type {NodeJS.Signals | undefined} */
  let received;
  /** @param {NodeJS.Signals} signal */
  const forward = (signal) => {
    received = signal;
    child.kill(signal);
    // npm ci goes on for half a minute after it was interrupted.
    setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref();
  };
  for (const signal of FORWARDED) process.on(signal, forward);

  return new Promise((resolve) => {
    const end = (/** @type {number} */ code) => {
      for (const signal of FORWARDED) process.off(signal, forward);
      if (received !== undefined) process.exit(128 + constants.signals[received]);
      resolve({ code, output: text });
    };
    child.on('error', (error) => {
      text += `${error.message}\n`;
      if (output !== 'capture') process.stderr.write(`${error.message}\n`);
      end(127);
    });
    child.on('close', (code, signal) => end(code ?? 128 + constants.signals[signal ?? 'SIGTERM']));
  });
}

/**
 * The command line that runs an installed package's program under this very Node.
 *
 * @param {string} packageName
 * @param {string} [program] where the package has several, or names it otherwise
 */
export function toolCommand(packageName, program = packageName) {
  const home = join('node_modules', packageName);
  const { bin } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  return [process.execPath, join(home, typeof bin === 'string' ? bin : bin[program])];
}
