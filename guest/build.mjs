/**
 * Makes what a guest needs beside QEMU, in a cache folder outside the clone:
 *
 *   node guest/build.mjs [--kernel PACKAGE]... [--update]
 *
 * Fetches Debian's kernel packages (default linux-image-cloud-amd64) and busybox-static with `apt-get download`, which
 * installs nothing and needs no root, and compiles guest/workload. What is there already is not made again; --update asks apt
 * for newer packages. The folder is PTMON_GUEST_DIR, else ptmon/guest in the user's cache folder.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';

const DEFAULT_KERNEL = 'linux-image-cloud-amd64';
const STALE_LISTS = "If apt's lists are missing or old, `apt-get update` (as root) brings them up to date.";

/** The modules that swap to compressed memory needs, where the kernel does not have them built in: zram and what it packs with. */
const SWAP_MODULES = ['lzo-rle', 'zram'];
/** Where in a package they and what they need are. */
const MODULE_FOLDERS = ['mm', 'crypto', 'lib', 'drivers/block/zram'];

const COMPILER = process.env['CC'] || 'gcc';
const COMPILER_FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-static', '-no-pie', '-pthread', '-s'];

/** @param {string} message @returns {never} */
function fail(message) {
  process.stderr.write(`guest: ${message}\n`);
  process.exit(1);
}

/** @param {string} message */
function say(message) {
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
function run(program, args, { cwd, hint = '', needs = '' } = {}) {
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

/** @param {readonly string[]} args @param {string} [cwd] */
function apt(args, cwd) {
  const options = ['-o', 'DPkg::Lock::Timeout=120'];
  // Root's apt otherwise warns that its unprivileged half cannot write here.
  if (process.getuid?.() === 0) options.push('-o', 'APT::Sandbox::User=root');
  const [command = '', ...rest] = args;
  const needs =
    'The guest is made of Debian packages: elsewhere, boot a kernel of your own (its path is an option of the launcher), ' +
    `for which this script only needs ${COMPILER}: --no-kernel.`;
  const program = command === 'download' ? 'apt-get' : 'apt-cache';
  return run(program, [...options, command, ...rest], {
    ...(cwd === undefined ? {} : { cwd }),
    hint: STALE_LISTS,
    needs,
  });
}

/** The folder of everything that is made here. */
function cacheFolder() {
  const { PTMON_GUEST_DIR: chosen, XDG_CACHE_HOME: cache } = process.env;
  if (chosen) return chosen;
  return join(cache || join(homedir(), '.cache'), 'ptmon', 'guest');
}

/** Calls `make` with a folder of its own, which does not outlive it. @template T @param {(folder: string) => T} make @returns {T} */
function inWorkFolder(make) {
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
function install(from, name, mode = 0o644) {
  const target = join(cacheFolder(), name);
  const half = `${target}.${process.pid}`;
  copyFileSync(from, half);
  chmodSync(half, mode);
  renameSync(half, target);
}

/** Downloads a package; returns the file. @param {string} name @param {string} folder */
function download(name, folder) {
  apt(['download', name], folder);
  const file = readdirSync(folder).find((entry) => entry.startsWith(`${name}_`) && entry.endsWith('.deb'));
  if (file === undefined) fail(`apt-get download ${name} left no package`);
  return join(folder, file);
}

/**
 * Unpacks the files of a package that match a pattern; one that matches nothing is no matter.
 *
 * @param {string} deb @param {string} folder @param {readonly string[]} patterns
 */
function unpack(deb, folder, patterns) {
  const tar = ['tar', '-x', '-C', folder, '--wildcards', ...patterns].map((word) => `'${word}'`).join(' ');
  // tar complains of patterns without a match; whether what is needed came out is seen afterwards.
  run('sh', ['-c', `dpkg-deb --fsys-tarfile "$1" | ${tar} 2> /dev/null || :`, 'sh', deb], {
    needs: 'dpkg-deb is in the package dpkg.',
  });
}

/** The package that a meta-package stands for; itself where it is a kernel. @param {string} name */
function kernelPackage(name) {
  if (/^linux-image-\d+\.\d+\.\d/.test(name)) return name;
  const depends = apt(['depends', name]).matchAll(/^ *Depends: (linux-image-\S+)$/gm);
  for (const [, found = ''] of depends) if (/^linux-image-\d/.test(found)) return found;
  return fail(`apt knows no kernel for ${name}. ${STALE_LISTS}`);
}

/** All files below a folder. @param {string} folder @returns {string[]} */
function filesIn(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
}

/** The files of the modules in the order to load them. @param {readonly string[]} files @param {string} folder for unpacking */
function swapModules(files, folder) {
  /** Module names know no difference between - and _. @param {string} name */
  const plain = (name) =>
    basename(name)
      .replace(/\.ko(\.[a-z]+)?$/, '')
      .replaceAll('-', '_');
  /** @type {Map<string, string>} */
  const known = new Map();
  for (const file of files) if (/\.ko(\.[a-z]+)?$/.test(file)) known.set(plain(file), file);
  /** @type {string[]} */
  const ordered = [];

  /** @param {string} name */
  const add = (name) => {
    const file = known.get(plain(name));
    if (file === undefined) return;
    known.delete(plain(name));
    const ready = unpacked(file, folder);
    // .modinfo is a section of NUL-terminated texts.
    const depends = /\0depends=([^\0]*)\0/.exec(readFileSync(ready, 'latin1'))?.[1] ?? '';
    for (const other of depends.split(',')) if (other !== '') add(other);
    ordered.push(ready);
  };
  for (const name of SWAP_MODULES) add(name);
  return ordered;
}

/** The module's own file, of a packed one too. @param {string} file @param {string} folder */
function unpacked(file, folder) {
  const program = file.endsWith('.xz') ? 'xz' : file.endsWith('.zst') ? 'zstd' : undefined;
  if (program === undefined) return file;
  const target = join(folder, basename(file).replace(/\.[a-z]+$/, ''));
  run('sh', ['-c', `${program} -dc "$1" > "$2"`, 'sh', file, target], {
    hint: `${program} unpacks the kernel's modules.`,
  });
  return target;
}

/** @typedef {{ package: string, file: string, requested: string[] }} KernelNote */

/** The note beside a kernel with the packages that it comes from. @param {string} release @returns {KernelNote | undefined} */
function noteOf(release) {
  const path = join(cacheFolder(), 'kernels', release, 'kernel.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

/** @param {string} requested @param {boolean} update */
function makeKernel(requested, update) {
  const kernels = join(cacheFolder(), 'kernels');
  mkdirSync(kernels, { recursive: true });
  const cached = readdirSync(kernels).find((release) => noteOf(release)?.requested.includes(requested));
  if (cached !== undefined && !update) return say(`kernel ${cached} is there (${requested})`);

  const name = kernelPackage(requested);
  say(`fetching ${name}`);
  inWorkFolder((folder) => {
    const deb = download(name, folder);
    const tree = join(folder, 'tree');
    mkdirSync(tree);
    unpack(deb, tree, ['./boot/*', ...MODULE_FOLDERS.map((part) => `*/kernel/${part}/*`)]);
    const files = filesIn(tree);
    const image = files.find((file) => basename(file).startsWith('vmlinuz-'));
    if (image === undefined) return fail(`${basename(deb)} contains no boot/vmlinuz-*`);
    const release = basename(image).slice('vmlinuz-'.length);

    const made = join(folder, 'made');
    mkdirSync(join(made, 'modules'), { recursive: true });
    copyFileSync(image, join(made, 'vmlinuz'));
    for (const [index, module] of swapModules(files, folder).entries()) {
      copyFileSync(module, join(made, 'modules', `${String(index).padStart(2, '0')}-${basename(module)}`));
    }
    // Another name for the same kernel, asked for earlier.
    const before = noteOf(release)?.requested ?? [];
    const note = { package: name, file: basename(deb), requested: [...new Set([...before, requested, name])] };
    writeFileSync(join(made, 'kernel.json'), `${JSON.stringify(note, undefined, 2)}\n`);

    // An update leaves only the newest kernel answering for the meta-package.
    if (cached !== undefined && cached !== release) rmSync(join(kernels, cached), { recursive: true });
    rmSync(join(kernels, release), { recursive: true, force: true });
    renameSync(made, join(kernels, release));
    const modules = readdirSync(join(kernels, release, 'modules'));
    say(`kernel ${release} is there, ${modules.length === 0 ? 'without modules' : `modules ${modules.join(' ')}`}`);
  });
}

/** @param {boolean} update */
function makeBusybox(update) {
  const list = join(cacheFolder(), 'busybox.list');
  if (existsSync(list) && !update) return say('busybox is there');
  inWorkFolder((folder) => {
    const deb = download('busybox-static', folder);
    unpack(deb, folder, ['*/busybox']);
    const program = filesIn(folder).find((file) => file.endsWith('/bin/busybox'));
    if (program === undefined) return fail(`${basename(deb)} contains no bin/busybox`);
    const applets = join(folder, 'busybox.list');
    writeFileSync(applets, run(program, ['--list']));
    install(program, 'busybox', 0o755);
    install(applets, 'busybox.list');
    say(`busybox is there (${basename(deb)})`);
  });
}

function makeWorkload() {
  const sources = join(import.meta.dirname, 'workload');
  const names = readdirSync(sources).sort();
  const hash = createHash('sha256').update([COMPILER, ...COMPILER_FLAGS].join(' '));
  for (const name of names) hash.update(`\0${name}\0`).update(readFileSync(join(sources, name)));
  const digest = hash.digest('hex');
  const stamp = join(cacheFolder(), 'workload.sha256');
  const current =
    existsSync(stamp) && existsSync(join(cacheFolder(), 'workload')) && readFileSync(stamp, 'utf8') === digest;
  if (current) return say('the workload is there');

  inWorkFolder((folder) => {
    const program = join(folder, 'workload');
    const files = names.filter((name) => name.endsWith('.c')).map((name) => join(sources, name));
    run(COMPILER, [...COMPILER_FLAGS, '-o', program, ...files], {
      hint: 'It needs the C library to link statically: libc6-dev on Debian.',
      needs: 'Install a C compiler (on Debian: apt-get install gcc libc6-dev), or name one in the variable CC.',
    });
    install(program, 'workload', 0o755);
    writeFileSync(stamp, digest);
    say('the workload is compiled');
  });
}

function parseCommandLine() {
  try {
    return parseArgs({
      options: {
        kernel: { type: 'string', multiple: true },
        'no-kernel': { type: 'boolean' },
        update: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    process.stderr.write(`guest: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return process.exit(2);
  }
}

const USAGE = `usage: node guest/build.mjs [--kernel PACKAGE]... [--update] [--no-kernel]

  --kernel PACKAGE   a Debian kernel package, or a meta-package that depends on one (default ${DEFAULT_KERNEL})
  --update           fetch again what apt has newer
  --no-kernel        only compile the workload; the guest then boots a kernel of yours, without a shell

The files go to ${cacheFolder()} (PTMON_GUEST_DIR).
`;

// The reader of our progress may have closed the pipe; the work goes on.
process.stdout.on('error', () => {});

const options = parseCommandLine();
if (options.help) {
  process.stdout.write(USAGE);
} else {
  mkdirSync(cacheFolder(), { recursive: true });
  const update = options.update ?? false;
  // First what costs nothing and fails first where something is to be installed.
  makeWorkload();
  if (!options['no-kernel']) {
    for (const name of options.kernel ?? [DEFAULT_KERNEL]) makeKernel(name, update);
    makeBusybox(update);
  }
  say(`the files are in ${cacheFolder()}`);
}
