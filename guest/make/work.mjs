/** What every part of the build uses: messages, programs, the cache folder, and work folders that do not outlive their use. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

/** @param {string} message @returns {never} */
export function fail(message) {
  process.stderr.write(`guest: ${message}\n`);
  process.exit(1);
}

/** @param {string} message */
export function say(message) {
  process.stdout.write(`guest: ${message}\n`);
}

/**
 * Runs a program to its end and returns what it printed.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string, hint?: string, needs?: string }} [options] `hint` follows the message of a failure, `needs` is what
 *   to do where the program is missing
 */
export function run(program, args, { cwd, hint = '', needs = '' } = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    maxBuffer: 2 ** 26,
  });
  if (error !== undefined) fail(`${program} cannot be run (${error.message}). ${needs}`);
  if (status !== 0) fail(`${program} ${args.join(' ')} failed: ${(stderr || stdout).trim()}\n${hint}`);
  return stdout;
}

/** The folder of everything that is made here. */
export function cacheFolder() {
  const { PTMON_GUEST_DIR: chosen, XDG_CACHE_HOME: cache } = process.env;
  if (chosen) return chosen;
  return join(cache || join(homedir(), '.cache'), 'ptmon', 'guest');
}

/** Calls `make` with a folder of its own, which does not outlive it. @template T @param {(folder: string) => T} make @returns {T} */
export function inWorkFolder(make) {
  const folder = mkdtempSync(join(cacheFolder(), 'making-'));
  workFolders.add(folder);
  try {
    return make(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @type {Set<string>} */
const workFolders = new Set();
// `fail` ends the process where it stands.
process.on('exit', () => {
  for (const folder of workFolders) rmSync(folder, { recursive: true, force: true });
});
// A signal to all of us ends the program that is waited for, and so, by `fail`, this one: not before it has cleaned up.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** Puts a file in its place, all of it or none. @param {string} from @param {string} name @param {number} [mode] */
export function install(from, name, mode = 0o644) {
  const target = join(cacheFolder(), name);
  const half = `${target}.${process.pid}`;
  copyFileSync(from, half);
  chmodSync(half, mode);
  renameSync(half, target);
}

/** All files below a folder. @param {string} folder @returns {string[]} */
export function filesIn(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
}
