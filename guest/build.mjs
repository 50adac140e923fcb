/**
 * Makes what a guest needs beside QEMU, in a cache folder outside the clone:
 *
 *   node guest/build.mjs [--kernel PACKAGE]... [--update]
 *
 * Fetches Debian's kernel packages (default linux-image-cloud-amd64; linux-image-686 and linux-image-686-pae are 32-bit) and busybox-static with `apt-get download`, which
 * installs nothing and needs no root, and compiles guest/workload. What is there already is not made again; --update asks apt
 * for newer packages. The folder is PTMON_GUEST_DIR, else ptmon/guest in the user's cache folder.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
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

/** Debian's kernels for 32-bit processors; what runs in them is 32-bit, too. @param {string} name of a package */
const is32Bit = (name) => /-686(-pae)?$/.test(name);

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
function updateI386Lists(update) {
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

/** Downloads a package; returns the file. @param {string} name @param {string} folder @param {boolean} [i386] */
function download(name, folder, i386 = false) {
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
  const depends = apt(['depends', name], { i386: is32Bit(name) }).matchAll(/^ *Depends: (linux-image-\S+)$/gm);
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

  if (is32Bit(requested)) updateI386Lists(update);
  const name = kernelPackage(requested);
  say(`fetching ${name}`);
  inWorkFolder((folder) => {
    const deb = download(name, folder, is32Bit(name));
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

/**
 * The types of a kernel that does not describe them itself, as Debian's 32-bit ones: BTF made of its debug symbols.
 *
 * @param {string} requested @param {boolean} update
 */
function makeTypes(requested, update) {
  const kernels = join(cacheFolder(), 'kernels');
  const release = readdirSync(kernels).find((name) => noteOf(name)?.requested.includes(requested));
  if (release === undefined) return fail(`there is no kernel ${requested}`);
  const target = join('kernels', release, 'types.btf');
  if (existsSync(join(cacheFolder(), target)) && !update) return say(`the types of ${release} are there`);
  const name = `${kernelPackage(requested)}-dbg`;
  say(`fetching ${name}, which is large`);
  inWorkFolder((folder) => {
    unpack(download(name, folder, is32Bit(requested)), folder, [`*/vmlinux-${release}`]);
    const image = filesIn(folder).find((file) => lstatSync(file).isFile() && basename(file) === `vmlinux-${release}`);
    if (image === undefined) return fail(`${name} holds no vmlinux-${release}`);
    const types = join(folder, 'types.btf');
    run('pahole', [`--btf_encode_detached=${types}`, image], { needs: 'pahole is in the package of that name.' });
    install(types, target);
    say(`the types of ${release} are there`);
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

/** The shell of 32-bit guests; its commands are those of the other one. @param {boolean} update */
function makeBusybox32(update) {
  if (existsSync(join(cacheFolder(), 'busybox-i386')) && !update) return say('the 32-bit busybox is there');
  updateI386Lists(update);
  inWorkFolder((folder) => {
    const deb = download('busybox-static', folder, true);
    unpack(deb, folder, ['*/busybox']);
    const program = filesIn(folder).find((file) => file.endsWith('/bin/busybox'));
    if (program === undefined) return fail(`${basename(deb)} holds no bin/busybox`);
    install(program, 'busybox-i386', 0o755);
    say(`the 32-bit busybox is there (${basename(deb)})`);
  });
}

/** The C library for 32-bit programs, unpacked and not installed; returns what the compiler is told of it. */
function library32() {
  const tree = join(cacheFolder(), 'lib32');
  const version = run(COMPILER, ['-dumpversion']).trim().split('.')[0];
  if (!existsSync(tree)) {
    say('fetching the C library for 32-bit programs');
    inWorkFolder((folder) => {
      const made = join(folder, 'made');
      for (const name of ['libc6-dev-i386', 'libc6-i386', `lib32gcc-${version}-dev`]) {
        run('dpkg-deb', ['--extract', download(name, folder), made]);
      }
      renameSync(made, tree);
    });
  }
  const usr = join(tree, 'usr');
  const folders = [join(usr, 'lib32'), join(usr, 'lib', 'gcc', 'x86_64-linux-gnu', version ?? '', '32')];
  const headers = ['/usr/include/x86_64-linux-gnu', join(usr, 'include', 'x86_64-linux-gnu')];
  return [
    ...['-m32', '-D_FILE_OFFSET_BITS=64'],
    ...folders.flatMap((folder) => [`-B${folder}/`, `-L${folder}`]),
    ...headers.flatMap((folder) => ['-isystem', folder]),
  ];
}

/** @param {string} name of the program @param {() => readonly string[]} moreFlags */
function makeWorkload(name, moreFlags) {
  const sources = join(import.meta.dirname, 'workload');
  const names = readdirSync(sources).sort();
  const hash = createHash('sha256').update([COMPILER, ...COMPILER_FLAGS].join(' '));
  for (const file of names) hash.update(`\0${file}\0`).update(readFileSync(join(sources, file)));
  const digest = hash.digest('hex');
  const stamp = join(cacheFolder(), `${name}.sha256`);
  const current = existsSync(stamp) && existsSync(join(cacheFolder(), name)) && readFileSync(stamp, 'utf8') === digest;
  if (current) return say(`the ${name} is there`);

  inWorkFolder((folder) => {
    const program = join(folder, name);
    const files = names.filter((file) => file.endsWith('.c')).map((file) => join(sources, file));
    run(COMPILER, [...COMPILER_FLAGS, ...moreFlags(), '-o', program, ...files], {
      hint: 'It needs the C library to link statically: libc6-dev on Debian.',
      needs: 'Install a C compiler (on Debian: apt-get install gcc libc6-dev), or name one in the variable CC.',
    });
    install(program, name, 0o755);
    writeFileSync(stamp, digest);
    say(`the ${name} is compiled`);
  });
}

function parseCommandLine() {
  try {
    return parseArgs({
      options: {
        kernel: { type: 'string', multiple: true },
        'no-kernel': { type: 'boolean' },
        types: { type: 'boolean' },
        update: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    process.stderr.write(`guest: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return process.exit(2);
  }
}

const USAGE = `usage: node guest/build.mjs [--kernel PACKAGE]... [--types] [--update] [--no-kernel]

  --kernel PACKAGE   a Debian kernel package, or a meta-package that depends on one (default ${DEFAULT_KERNEL})
  --types            also make the kernel's types (BTF) of its debug symbols, which are large; needs pahole
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
  makeWorkload('workload', () => []);
  const kernels = options.kernel ?? [DEFAULT_KERNEL];
  // Also where it was made before: a workload from before the last change of its sources is no use.
  if (kernels.some(is32Bit) || existsSync(join(cacheFolder(), 'workload-i386')))
    makeWorkload('workload-i386', library32);
  if (!options['no-kernel']) {
    for (const name of kernels) {
      makeKernel(name, update);
      if (options.types) makeTypes(name, update);
    }
    makeBusybox(update);
    if (kernels.some(is32Bit)) makeBusybox32(update);
  }
  say(`the files are in ${cacheFolder()}`);
}
