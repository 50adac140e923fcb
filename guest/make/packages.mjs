/** Debian's packages: fetched with apt and unpacked, never installed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { cacheFolder, fail, run, say } from './work.mjs';

export const STALE_LISTS = "If apt's lists are missing or old, `apt-get update` (as root) brings them up to date.";

/** Debian's kernels for 32-bit processors; what runs in them is 32-bit, too. @param {string} name of a package */
export const is32Bit = (name) => /-686(-pae)?$/.test(name);

/**
 * Has apt know the packages of i386, in lists of its own: the system's architectures stay as they are.
 *
 * @returns {string[]}
 */
function i386Options() {
  const lists = join(cacheFolder(), 'apt-i386');
  return [
    ...['-o', 'APT::Architecture=i386', '-o', 'APT::Architectures=i386', '-o', `Dir::State::Lists=${lists}`],
    ...['-o', 'Dir::Cache::pkgcache=', '-o', 'Dir::Cache::srcpkgcache='],
  ];
}

/** @param {boolean} update */
export function updateI386Lists(update) {
  const lists = join(cacheFolder(), 'apt-i386');
  if (existsSync(join(lists, 'partial')) && !update) return;
  mkdirSync(join(lists, 'partial'), { recursive: true });
  say('updating the lists of i386 packages');
  const options = [...i386Options(), '-o', 'APT::Sandbox::User=root'];
  // It also fails where one of several sources has nothing for i386: what is missing is seen later.
  spawnSync('apt-get', [...options, 'update'], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
}

/** @param {readonly string[]} args @param {{ cwd?: string, i386?: boolean }} [where] */
function apt(args, { cwd, i386 = false } = {}) {
  const options = ['-o', 'DPkg::Lock::Timeout=120', ...(i386 ? i386Options() : [])];
  // Root's apt otherwise warns that its unprivileged half cannot write here.
  if (process.getuid?.() === 0) options.push('-o', 'APT::Sandbox::User=root');
  const [command = '', ...rest] = args;
  const needs =
    'The guest is made of Debian packages: elsewhere, boot a kernel of your own (its path is an option of the launcher), ' +
    `for which this script only needs a C compiler: --no-kernel.`;
  const program = command === 'download' ? 'apt-get' : 'apt-cache';
  return run(program, [...options, command, ...rest], {
    ...(cwd === undefined ? {} : { cwd }),
    hint: STALE_LISTS,
    needs,
  });
}

/** Downloads a package; returns the file. @param {string} name @param {string} folder @param {boolean} [i386] */
export function download(name, folder, i386 = false) {
  apt(['download', name], { cwd: folder, i386 });
  const file = readdirSync(folder).find((entry) => entry.startsWith(`${name}_`) && entry.endsWith('.deb'));
  if (file === undefined) fail(`apt-get download ${name} left no package`);
  return join(folder, file);
}

/**
 * Unpacks the files of a package that match a pattern; one that matches nothing is no matter.
 *
 * @param {string} deb @param {string} folder @param {readonly string[]} patterns
 */
export function unpack(deb, folder, patterns) {
  const tar = ['tar', '-x', '-C', folder, '--wildcards', ...patterns].map((word) => `'${word}'`).join(' ');
  // tar complains of patterns without a match; whether what is needed came out is seen afterwards.
  run('sh', ['-c', `dpkg-deb --fsys-tarfile "$1" | ${tar} 2> /dev/null || :`, 'sh', deb], {
    needs: 'dpkg-deb is in the package dpkg.',
  });
}

/** The packages that a package depends on. @param {string} name @param {boolean} i386 @returns {string[]} */
export function dependencies(name, i386) {
  const lines = apt(['depends', name], { i386 }).matchAll(/^ *Depends: (\S+)$/gm);
  return [...lines].map(([, found = '']) => found);
}

/** The package that a meta-package stands for; itself where it is a kernel. @param {string} name */
export function kernelPackage(name) {
  if (/^linux-image-\d+\.\d+\.\d/.test(name)) return name;
  for (const found of dependencies(name, is32Bit(name))) if (/^linux-image-\d/.test(found)) return found;
  return fail(`apt knows no kernel for ${name}. ${STALE_LISTS}`);
}

/** The packages of a kernel's image and modules, where its own only depends on them, as from Debian 14 on. @param {string} name */
export function kernelParts(name) {
  return dependencies(name, is32Bit(name)).filter((other) => /^linux-(?:binary|modules)-\d/.test(other));
}
