/** Debian's packages, fetched and unpacked without installing them, as `guest/build.mjs` does. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const STALE_LISTS = 'If the lists of apt are missing or old, `apt-get update` (as root) brings them up to date.';

/** What a program prints. @throws Error with what it complained of, and the hint */
export function output(
  program: string,
  args: readonly string[],
  options: { cwd?: string; hint?: string } = {},
): string {
  const { cwd, hint = '' } = options;
  try {
    return execFileSync(program, args, {
      ...(cwd !== undefined && { cwd }),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
      maxBuffer: 2 ** 27,
    });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new Error(`${program} ${args.slice(0, 6).join(' ')} failed: ${said || String(error)}\n${hint}`, {
      cause: error,
    });
  }
}

function apt(program: 'apt-get' | 'apt-cache', args: readonly string[], cwd?: string): string {
  // Otherwise root's apt warns that its unprivileged half cannot write here.
  const sandbox = process.getuid?.() === 0 ? ['-o', 'APT::Sandbox::User=root'] : [];
  return output(program, [...sandbox, ...args], { hint: STALE_LISTS, ...(cwd !== undefined && { cwd }) });
}

/** Names of packages that begin so. */
export function packageNames(prefix: string): string[] {
  return apt('apt-cache', ['pkgnames', prefix]).split('\n').filter(Boolean);
}

/** These packages and all that they depend on, on a system that has nothing yet. */
export function withDependencies(packages: readonly string[], folder: string): string[] {
  const nothingInstalled = join(folder, 'dpkg-status');
  writeFileSync(nothingInstalled, '');
  const plan = apt('apt-get', [
    '--simulate',
    ...['-o', `Dir::State::status=${nothingInstalled}`],
    '--no-install-recommends',
    'install',
    ...packages,
  ]);
  return [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name!);
}

/** Downloads packages; returns their files. */
export function download(packages: readonly string[], folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  apt('apt-get', ['-q', 'download', ...packages], folder);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(folder, name));
}

/**
 * Unpacks a package into a tree in which /bin, /lib and the like may be links into /usr.
 *
 * @param only patterns of what is wanted; everything where there are none
 * @param without patterns of what is not
 */
export function unpack(
  deb: string,
  tree: string,
  { only = [], without = [] }: { only?: readonly string[]; without?: readonly string[] } = {},
): void {
  const exclude = without.map((pattern) => `--exclude=${pattern}`);
  const tar = ['tar', '-x', '-C', tree, '--keep-directory-symlink', '--wildcards', ...exclude, ...only];
  // tar fails on a pattern that matches nothing; whether what is needed came out is seen afterwards.
  output('sh', ['-c', 'deb=$1; shift; dpkg-deb --fsys-tarfile "$deb" | "$@" || :', 'sh', deb, ...tar]);
}
